package emulator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// busTemplate is chatTemplate with a rule of its own and one of a SAM function.
func busTemplate() []byte {
	text := strings.Replace(string(with("default")), "        Tick:\n", `        Orders:
          Type: EventBridgeRule
          Properties: {Pattern: {source: [shop], detail: {total: [5, 7]}}}
        Odd:
          Type: EventBridgeRule
          Properties: {Pattern: {detail: {ip: [{cidr: 10.0.0.0/24}]}}}
        Tick:
`, 1)
	return []byte(text + `
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: app
      EventPattern: {detail-type: [chat.emit]}
      Targets: [{Id: a, Arn: !GetAtt JobFunction.Arn}, {Id: b, Arn: !GetAtt JobFunction.Arn, Input: '{"fixed":true}'}]
  Off:
    Type: AWS::Events::Rule
    Properties: {State: DISABLED, EventPattern: {detail-type: [chat.emit]}, Targets: [{Id: a, Arn: !GetAtt JobFunction.Arn}]}
`)
}

func TestEventBus(t *testing.T) {
	job, events := collect(`{}`)
	var seen []Event
	f := serve(t, Config{
		Template: busTemplate(), NoSchedules: true, Functions: functions(map[string]Function{"job": job}),
		Observe: func(e Event) {
			if e.Kind == KindBus {
				seen = append(seen, e)
			}
		},
	})
	client := eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: &f.url, HTTPClient: f.http.Client(), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(credentials),
	})
	put := func(bus, source, kind, detail string) types.PutEventsResultEntry {
		t.Helper()
		entry := types.PutEventsRequestEntry{Source: &source, DetailType: &kind, Detail: &detail, Time: aws.Time(time.Unix(1700000000, 0))}
		if bus != "" {
			entry.EventBusName = &bus
		}
		out, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Entries[0]
	}

	id := put("arn:aws:events:us-east-1:123456789012:event-bus/app", "me", "chat.emit", `{"room":"a"}`).EventId
	got := map[string]bool{}
	for range 2 {
		got[string(receive(t, events))] = true
	}
	if !got[`{"fixed":true}`] || len(got) != 2 {
		t.Errorf("the targets got %v", got)
	}
	for text := range got {
		var e struct {
			ID, Source, Time, Region, Account string
			Type                              string `json:"detail-type"`
			Detail                            struct{ Room string }
			Resources                         []string
		}
		if strings.Contains(text, "fixed") {
			continue
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil || id == nil || e.ID != *id || e.Source != "me" || e.Type != "chat.emit" ||
			e.Detail.Room != "a" || e.Time != "2023-11-14T22:13:20Z" || e.Region != "us-east-1" || e.Account != "123456789012" || e.Resources == nil {
			t.Errorf("got %s, %v", text, err)
		}
	}
	put("", "me", "chat.emit", `{}`)              // another bus: nobody
	put("", "shop", "order", `{"total":6}`)       // another total: nobody
	put("", "shop", "order", `{"total":[1,7,9]}`) // the job
	if text := string(receive(t, events)); !strings.Contains(text, `[1,7,9]`) {
		t.Errorf("got %s", text)
	}
	if entry := put("", "shop", "order", `[1]`); entry.ErrorCode == nil || *entry.ErrorCode != "MalformedDetail" {
		t.Errorf("a detail that is no object gives %+v", entry)
	}
	if len(seen) != 4 || seen[0].Reason != "me chat.emit" {
		t.Errorf("seen are %+v", seen)
	}
	if _, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{}}); err == nil {
		t.Error("no entries are taken")
	}
	if _, err := client.ListRules(t.Context(), &eventbridge.ListRulesInput{}); err == nil || !strings.Contains(err.Error(), "only PutEvents") {
		t.Errorf("another operation gives %v", err)
	}
}

func TestEventBusWarnings(t *testing.T) {
	tpl, err := ReadTemplate(busTemplate(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if all := said(tpl.Warnings); !strings.Contains(all, `JobFunctionOdd: the event pattern's operator "cidr" of ip is not emulated`) {
		t.Errorf("warnings are %s", all)
	}
}

func TestPatterns(t *testing.T) {
	const event = `{"source":"shop","detail":{"state":"Paid","total":7,"tags":["a","b"],"nothing":null,"deep":{"x":true}}}`
	for pattern, want := range map[string]bool{
		`{}`:                                             true,
		`{"source":["a","shop"]}`:                        true,
		`{"source":["a"]}`:                               false,
		`{"missing":["a"]}`:                              false,
		`{"source":[{"prefix":"sh"}]}`:                   true,
		`{"source":[{"prefix":"x"}]}`:                    false,
		`{"source":[{"suffix":"op"}]}`:                   true,
		`{"source":[{"equals-ignore-case":"SHOP"}]}`:     true,
		`{"source":[{"anything-but":"shop"}]}`:           false,
		`{"source":[{"anything-but":["a","b"]}]}`:        true,
		`{"source":[{"anything-but":{"prefix":"sh"}}]}`:  false,
		`{"detail":{"total":[7]}}`:                       true,
		`{"detail":{"total":["7"]}}`:                     false,
		`{"detail":{"tags":["b"]}}`:                      true,
		`{"detail":{"nothing":[null]}}`:                  true,
		`{"detail":{"deep":{"x":[true]}}}`:               true,
		`{"detail":{"deep":{"y":[{"exists":false}]}}}`:   true,
		`{"detail":{"deep":{"x":[{"exists":false}]}}}`:   false,
		`{"none":{"x":[{"exists":true}]}}`:               false,
		`{"source":["shop"],"detail":{"state":["Due"]}}`: false,
	} {
		var p, e map[string]any
		if err := json.Unmarshal([]byte(pattern), &p); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(event), &e); err != nil {
			t.Fatal(err)
		}
		if err := checkPattern(p); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		if got := matches(p, e); got != want {
			t.Errorf("%s matches: %t, want %t", pattern, got, want)
		}
	}
}
