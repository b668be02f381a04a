package deployment

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/lambda/setup"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// TestParametersAreRefused: what would deploy and then answer every client with an internal error does not deploy. The emulator reads
// AllowedPattern, AllowedValues, MinValue and MaxValue as CloudFormation does.
func TestParametersAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ good, bad []string }{
		"RateLimit":            {[]string{"1", "50", "1000000"}, []string{"0", "1.5", "-1", "many", ""}},
		"RateBurst":            {[]string{"1", "20"}, []string{"0", "1.5"}},
		"MaxRooms":             {[]string{"1", "100"}, []string{"0", "1.5", "1e3"}},
		"InlineLimit":          {[]string{"1", "200"}, []string{"0", "0.5"}},
		"PresenceGrace":        {[]string{"300ms", "1s", "10s", "900s", "15m"}, []string{"0s", "0ms", "901s", "16m", "20m", "10", "1h", ""}},
		"SocketPingInterval":   {[]string{"25s", "240s", "8m"}, []string{"0s", "9m", "540s", "4", ""}},
		"SocketPingTimeout":    {[]string{"20s", "180s"}, []string{"0s", "10m"}},
		"SocketConnectTimeout": {[]string{"45s", "1m"}, []string{"0s", "1h"}},
		"AllowedOrigins": {
			[]string{"*", "https://a.example", "https://a.example, https://b.example", "http://localhost:*", "https://a.example:8443/", "http://[::1]:3000", "capacitor://localhost", "https://a.example,null"},
			// The last ones are no origin that a browser ever sends, so that nobody could connect.
			[]string{"", " ", ",", "https://a.example,", "a.example", "https://a.example/chat", "https://*.example", "https://a.example b.example", "https://a.example;https://b.example/x"},
		},
		"RoomKinds":          {[]string{`{"user":{"owner":true,"keep":"1h"}}`, "{\n \"user\": {}\n}"}, []string{"", "{}", `{"channel":{}}`, `"user":{}`}},
		"DefaultGrants":      {[]string{"{}", `{"channel:*":["join"]}`}, []string{"", "[]", "none"}},
		"HookOptions":        {[]string{"{}", `{"join":{"timeout":"2s"}}`}, []string{"", "join=2s"}},
		"BusFacts":           {[]string{"", "connection.opened", "connection.opened,presence.online"}, []string{"rain", "connection", "connection.opened,"}},
		"JwtAlgorithms":      {[]string{"", "HS256", "RS256,ES256"}, []string{"none", "HS512", "HS256,"}},
		"JwtLeeway":          {[]string{"1s", "60s", "300s", "5m"}, []string{"0s", "301s", "6m", "1h", "60", ""}},
		"UserClaim":          {[]string{"sub", "cognito:username"}, []string{"", "a b"}},
		"NameClaim":          {[]string{"name", "https://app.example/name"}, []string{"", "a b"}},
		"GrantsClaim":        {[]string{"grants", "https://app.example/grants"}, []string{"", "a b"}},
		"SocketClients":      {[]string{"on", "token", "off"}, []string{"", "yes"}},
		"JwtSecretKeyArn":    {[]string{"", "arn:aws:kms:eu-west-1:1:key/x"}, []string{"alias/mine"}},
		"AlarmTopicArn":      {[]string{"", "arn:aws:sns:eu-west-1:1:alarms"}, []string{"alarms"}},
		"ExistingTable":      {[]string{"", "bellhop-Table-1ABC"}, []string{"a b", "ab"}},
		"DomainName":         {[]string{"", "chat.example.org"}, []string{"chat", "https://chat.example.org"}},
		"DeliverConcurrency": {[]string{"2", "1000"}, []string{"1", "1001"}},
		"WarmWrites":         {[]string{"4000", "15000"}, []string{"0", "3999"}},
		"Monitoring":         {[]string{"on", "full", "off"}, []string{"yes"}},
	} {
		for _, value := range c.good {
			if _, err := template.Read(bellhop.Template, template.Options{Parameters: map[string]string{name: value}}); err != nil {
				t.Errorf("%s=%q is refused: %v", name, value, err)
			}
		}
		for _, value := range c.bad {
			if _, err := template.Read(bellhop.Template, template.Options{Parameters: map[string]string{name: value}}); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%q: got %v, want a refusal", name, value, err)
			}
		}
	}
}

// TestKeySetAddress: the template, the functions and bellhop dev have one rule for the address of the key set.
func TestKeySetAddress(t *testing.T) {
	for address, good := range map[string]bool{
		"https://id.example/jwks.json": true, "https://id.example:8443": true, "https://id.example?tenant=1": true,
		"http://localhost:9000/jwks": true, "http://127.0.0.1/jwks": true, "http://127.1.2.3:1": true, "http://[::1]:9000/jwks": true, "http://localhost": true,
		"http://id.example/jwks": false, "http://localhost.example/jwks": false, "http://localhost@id.example/jwks": false,
		"http://127.0.0.1.example/jwks": false, "http://10.0.0.1/jwks": false, "http://0.0.0.0/jwks": false, "https://": false, "https:///jwks": false,
		"HTTP://id.example/jwks": false, "HTTPS://id.example/jwks": false, "ftp://localhost/jwks": false, "file:///etc/jwks": false, "id.example": false,
	} {
		given := map[string]string{"JwksUrl": address}
		_, err := template.Read(bellhop.Template, template.Options{Parameters: given})
		if (err == nil) != good {
			t.Errorf("the template, %s: %v", address, err)
		}
		for _, name := range []string{"authorize", "message"} {
			variables := map[string]string{
				"JWKS_URL": address, "ALLOWED_ORIGINS": "*", "TABLE_NAME": "t", "MANAGEMENT_ENDPOINT": "https://a.example", "DELIVER_QUEUE_URL": "https://q.example",
			}
			if err := setup.Check(t.Context(), setup.Functions()[name], variables); (err == nil) != good {
				t.Errorf("%s, %s: %v", name, address, err)
			}
		}
		settings, err := setup.Local(given) // what bellhop dev makes its verifier of
		if err != nil {
			t.Fatal(err)
		}
		settings.Token.HTTPClient = &http.Client{Transport: nobody{}}
		if _, err := token.New(t.Context(), settings.Token); (err == nil) != good {
			t.Errorf("bellhop dev, %s: %v", address, err)
		}
	}
}

// nobody is a network in which nobody answers.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody answers")
}

// TestRules: parameters that do not go together do not deploy.
func TestRules(t *testing.T) {
	const secret, keys = "arn:aws:secretsmanager:eu-west-1:1:secret:x", "https://id.example/jwks.json"
	for name, c := range map[string]struct {
		given  map[string]string
		broken []string
	}{
		"nothing":                  {nil, []string{"TokensCanBeVerified"}},
		"a secret":                 {map[string]string{"JwtSecretArn": secret}, nil},
		"a key set":                {map[string]string{"JwksUrl": keys}, nil},
		"both":                     {map[string]string{"JwtSecretArn": secret, "JwksUrl": keys, "JwtAlgorithms": "HS256,RS256"}, nil},
		"RS256 without keys":       {map[string]string{"JwtSecretArn": secret, "JwtAlgorithms": "RS256"}, []string{"AlgorithmsHaveKeys"}},
		"HS256 without a secret":   {map[string]string{"JwksUrl": keys, "JwtAlgorithms": "HS256"}, []string{"AlgorithmsHaveSecret"}},
		"a key without its secret": {map[string]string{"JwksUrl": keys, "JwtSecretKeyArn": "arn:aws:kms:eu-west-1:1:key/x"}, []string{"KeysHaveSecrets"}},
		"facts without a bus":      {map[string]string{"JwksUrl": keys, "BusFacts": "presence.online"}, []string{"FactsHaveABus"}},
		"facts for a bus":          {map[string]string{"JwksUrl": keys, "BusFacts": "presence.online", "EventBusName": "app"}, nil},
		"a domain alone":           {map[string]string{"JwksUrl": keys, "DomainName": "chat.example.org"}, []string{"DomainsHaveCertificates"}},
		"a certificate alone":      {map[string]string{"JwksUrl": keys, "CertificateArn": "arn:aws:acm:eu-west-1:1:certificate/x"}, []string{"DomainsHaveCertificates"}},
	} {
		if got := brokenRules(t, c.given); !slices.Equal(got, c.broken) {
			t.Errorf("%s: got %v, want %v", name, got, c.broken)
		}
	}
}

// brokenRules are the template's rules that parameters break.
func brokenRules(t *testing.T, given map[string]string) (broken []string) {
	t.Helper()
	var rules struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
		Rules map[string]struct {
			Condition  yaml.Node `yaml:"RuleCondition"`
			Assertions []struct {
				Assert yaml.Node `yaml:"Assert"`
				Says   string    `yaml:"AssertDescription"`
			} `yaml:"Assertions"`
		} `yaml:"Rules"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &rules); err != nil {
		t.Fatal(err)
	}
	c := choices{t: t, values: maps.Clone(given)}
	if c.values == nil {
		c.values = map[string]string{}
	}
	for name, p := range rules.Parameters {
		if _, ok := given[name]; !ok {
			c.values[name] = p.Default
		}
	}
	for name, rule := range rules.Rules {
		if rule.Condition.Kind != 0 && !c.holds(&rule.Condition) {
			continue
		}
		for _, a := range rule.Assertions {
			if a.Says == "" {
				t.Errorf("%s does not say what is wrong", name)
			}
			if !c.holds(&a.Assert) {
				broken = append(broken, name)
			}
		}
	}
	slices.Sort(broken)
	return broken
}

// choices are what a template chooses by values: of its parameters, and of CloudFormation's own.
type choices struct {
	t          *testing.T
	values     map[string]string
	conditions map[string]yaml.Node
}

// value is a scalar, or what !Ref, !If or !Sub give.
func (c choices) value(n *yaml.Node) string {
	c.t.Helper()
	switch n.Tag {
	case "!Ref":
		v, known := c.values[n.Value]
		if !known {
			c.t.Fatalf("line %d: nothing is known of %s", n.Line, n.Value)
		}
		return v
	case "!If":
		condition := c.conditions[n.Content[0].Value]
		if c.holds(&condition) {
			return c.value(n.Content[1])
		}
		return c.value(n.Content[2])
	case "!Sub":
		own := c
		pattern := n
		if n.Kind == yaml.SequenceNode {
			pattern, own.values = n.Content[0], maps.Clone(c.values)
			for pair := range slices.Chunk(n.Content[1].Content, 2) {
				own.values[pair[0].Value] = c.value(pair[1])
			}
		}
		return os.Expand(pattern.Value, func(name string) string { return own.value(&yaml.Node{Tag: "!Ref", Value: name, Line: n.Line}) })
	}
	return n.Value
}

// holds reports whether a condition does.
func (c choices) holds(n *yaml.Node) bool {
	c.t.Helper()
	switch n.Tag {
	case "!Equals":
		return c.value(n.Content[0]) == c.value(n.Content[1])
	case "!Not":
		return !c.holds(n.Content[0])
	case "!And":
		return !slices.ContainsFunc(n.Content, func(one *yaml.Node) bool { return !c.holds(one) })
	case "!Or":
		return slices.ContainsFunc(n.Content, c.holds)
	case "!Condition":
		condition := c.conditions[n.Value]
		return c.holds(&condition)
	}
	c.t.Fatalf("line %d: a condition with %q", n.Line, n.Tag)
	return false
}

// noValue is what AWS::NoValue stands for: the property or item is left out.
type noValue struct{}

// whole is what is deployed of a part of the template. A !Ref to a resource is its name, and so is !GetAtt.
func (c choices) whole(n *yaml.Node) any {
	c.t.Helper()
	_, known := c.values[n.Value]
	switch {
	case n.Tag == "!If":
		condition := c.conditions[n.Content[0].Value]
		if c.holds(&condition) {
			return c.whole(n.Content[1])
		}
		return c.whole(n.Content[2])
	case n.Tag == "!Ref" && n.Value == "AWS::NoValue":
		return noValue{}
	case n.Tag == "!Ref" && known:
		return c.value(n)
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for pair := range slices.Chunk(n.Content, 2) {
			if v := c.whole(pair[1]); v != any(noValue{}) {
				m[pair[0].Value] = v
			}
		}
		return m
	case n.Kind == yaml.SequenceNode:
		var list []any
		for _, item := range n.Content {
			if v := c.whole(item); v != any(noValue{}) {
				list = append(list, v)
			}
		}
		return list
	}
	return n.Value
}

// stackOf is the resources that parameters of the template make, by their logical ids.
func stackOf(t *testing.T, given map[string]string) map[string]any {
	t.Helper()
	var document struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
		Conditions map[string]yaml.Node            `yaml:"Conditions"`
		Resources  map[string]map[string]yaml.Node `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &document); err != nil {
		t.Fatal(err)
	}
	c := choices{t, map[string]string{}, document.Conditions}
	for name, p := range document.Parameters {
		c.values[name] = p.Default
	}
	maps.Copy(c.values, given)
	stack := map[string]any{}
	for id, resource := range document.Resources {
		if on, conditional := resource["Condition"]; conditional {
			if condition := c.conditions[on.Value]; !c.holds(&condition) {
				continue
			}
		}
		properties := resource["Properties"]
		stack[id] = c.whole(&properties)
	}
	return stack
}

// TestWhatIsAskedForIsDeployed: what costs or binds is there only if it is asked for, and then wherever it has to be.
func TestWhatIsAskedForIsDeployed(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:1:key/x"
	plain, all := stackOf(t, nil), stackOf(t, map[string]string{
		"JwtSecretArn": "arn:aws:secretsmanager:eu-west-1:1:secret:x", "JwtSecretKeyArn": key,
		"MessageConcurrency": "30", "DeliverConcurrency": "7", "EmitConcurrency": "3", "WarmWrites": "15000", "TableEncryption": "kms",
		"DomainName": "chat.example.org", "CertificateArn": "arn:aws:acm:eu-west-1:1:certificate/x",
	})
	for path, want := range map[string]string{
		"MessageFunction ReservedConcurrentExecutions":                             "30",
		"DeliverFunction Events Queue Properties ScalingConfig MaximumConcurrency": "7",
		"EmitFunction Events Queue Properties ScalingConfig MaximumConcurrency":    "3",
		"Table WarmThroughput WriteUnitsPerSecond":                                 "15000",
		"Table WarmThroughput ReadUnitsPerSecond":                                  "12000",
		"Table SSESpecification SSEEnabled":                                        "true",
		"Domain DomainName":                                                        "chat.example.org",
		"DomainMapping ApiId":                                                      "WebSocketApi",
	} {
		keys := strings.Fields(path)
		if got := text(all, keys...); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
		if keys[len(keys)-1] != "MaximumConcurrency" && at(plain, keys...) != nil {
			t.Errorf("%s is there without being asked for", path)
		}
	}
	decrypts := func(stack map[string]any) []any {
		var found []any
		policies, _ := at(stack, "AuthorizeFunction", "Policies").([]any)
		for _, p := range policies {
			statements, _ := at(p, "Statement").([]any)
			for _, s := range statements {
				if text(s, "Action") == "kms:Decrypt" {
					found = append(found, at(s, "Resource"))
				}
			}
		}
		return found
	}
	if got := decrypts(all); !slices.Equal(got, []any{key}) {
		t.Errorf("the authorizer may decrypt with %v", got)
	}
	if got := decrypts(plain); got != nil {
		t.Errorf("the authorizer may decrypt with %v, and nobody has asked for that", got)
	}
}

// TestExistingTable: every function works on the table that is given, and may; none is made.
func TestExistingTable(t *testing.T) {
	stack := stackOf(t, map[string]string{"ExistingTable": "bellhop-Table-1ABC"})
	if stack["Table"] != nil {
		t.Error("there is a new table beside it")
	}
	on := 0
	for id, r := range stack {
		if name := text(r, "Environment", "Variables", "TABLE_NAME"); name == "" {
			continue
		} else if on++; name != "bellhop-Table-1ABC" {
			t.Errorf("%s works on %s", id, name)
		}
		policies, _ := at(r, "Policies").([]any)
		for _, p := range policies {
			statements, _ := at(p, "Statement").([]any)
			for _, s := range statements {
				actions, _ := at(s, "Action").([]any)
				if !slices.ContainsFunc(actions, func(a any) bool { name, _ := a.(string); return strings.HasPrefix(name, "dynamodb:") }) {
					continue
				}
				if got := text(s, "Resource"); !strings.HasSuffix(got, ":table/${ExistingTable}") {
					t.Errorf("%s may use %s", id, got)
				}
			}
		}
	}
	if on < 6 {
		t.Errorf("only %d functions have a table", on)
	}
}
