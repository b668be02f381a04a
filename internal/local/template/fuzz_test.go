package template

import "testing"

// FuzzTemplate reads arbitrary templates.
func FuzzTemplate(f *testing.F) {
	f.Add(chatTemplate(f))
	f.Add(rawTemplate)
	f.Add("Resources: &a [*a]")
	f.Add("Resources: &a\n  X: {Type: AWS::ApiGatewayV2::Api, Properties: *a}")
	f.Add("Conditions: {A: !Condition A}\nResources: {X: {Condition: A}}")
	f.Add(shopTemplate)
	f.Add(`{"Resources": {"A": {"Type": "AWS::Lambda::Function", "Properties": {"Environment": {"Variables": {"X": {"Fn::Sub": ["${A}", {"A": {"Ref": "A"}}]}}}}}}}`)
	f.Fuzz(func(_ *testing.T, text string) {
		t, err := Read([]byte(text), Options{})
		if err != nil {
			return
		}
		for _, f := range t.Functions {
			_, _, _ = t.Environment(f.ID, nil)
		}
	})
}
