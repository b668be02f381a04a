package buses

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// job is a template with a function that rules and a schedule invoke.
const job = `
Resources:
  JobFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/job/
      Events:
        Orders:
          Type: EventBridgeRule
          Properties: {Pattern: {source: [shop], detail: {total: [5, 7]}}}
        Odd:
          Type: EventBridgeRule
          Properties: {Pattern: {detail: {ip: [{cidr: 10.0.0.0/24}]}}}
        Nightly:
          Type: Schedule
          Properties: {Schedule: "cron(0 3 * * ? *)"}
        Tick:
          Type: ScheduleV2
          Properties: {ScheduleExpression: rate(5 minutes)}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: app
      EventPattern: {detail-type: [chat.emit]}
      Targets: [{Id: a, Arn: !GetAtt JobFunction.Arn}, {Id: b, Arn: !GetAtt JobFunction.Arn, Input: '{"fixed":true}'}]
  Off:
    Type: AWS::Events::Rule
    Properties: {State: DISABLED, EventPattern: {detail-type: [chat.emit]}, Targets: [{Id: a, Arn: !GetAtt JobFunction.Arn}]}
`

// collector hands its events to a channel.
type collector chan []byte

func (c collector) Invoke(_ context.Context, event []byte) ([]byte, error) {
	c <- event
	return []byte(`{}`), nil
}

// start makes the rules and schedules of the template job. The caller closes them.
func start(tb testing.TB, cfg Config) (*Service, collector) {
	tb.Helper()
	t, err := template.Read([]byte(job), template.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	c := make(collector, 100)
	cfg.Template = t
	if cfg.Functions, err = invoke.New(invoke.Config{Template: t, Code: map[string]invoke.Function{"job": c}}); err != nil {
		tb.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	return s, c
}

func (s *Service) end() {
	s.Close()
	s.cfg.Functions.Close()
}

// receive waits for an event.
func (c collector) receive(tb testing.TB) string {
	tb.Helper()
	select {
	case event := <-c:
		return string(event)
	case <-time.After(10 * time.Second):
		tb.Fatal("nothing came")
		return ""
	}
}

func TestEventBus(t *testing.T) {
	var seen []Seen
	s, events := start(t, Config{NoSchedules: true, Observe: func(e Seen) { seen = append(seen, e) }})
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		s.end()
		web.Close()
	})
	client := eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: &web.URL, HTTPClient: web.Client(), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
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
		got[events.receive(t)] = true
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
	if text := events.receive(t); !strings.Contains(text, `[1,7,9]`) {
		t.Errorf("got %s", text)
	}
	if entry := put("", "shop", "order", `[1]`); entry.ErrorCode == nil || *entry.ErrorCode != "MalformedDetail" {
		t.Errorf("a detail that is no object gives %+v", entry)
	}
	if len(seen) != 4 || seen[0].Event.Source != "me" || seen[0].Event.DetailType != "chat.emit" {
		t.Errorf("seen are %+v", seen)
	}
	if _, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{}}); err == nil {
		t.Error("no entries are taken")
	}
	if _, err := client.ListRules(t.Context(), &eventbridge.ListRulesInput{}); err == nil || !strings.Contains(err.Error(), "only PutEvents") {
		t.Errorf("another operation gives %v", err)
	}
}

func TestWhatIsNotEmulatedIsWarnedOf(t *testing.T) {
	s, _ := start(t, Config{})
	defer s.end()
	var all string
	for _, w := range s.cfg.Template.Warnings {
		all += w.Error() + "\n"
	}
	for _, want := range []string{
		`JobFunctionOdd: the event pattern's operator "cidr" of ip is not emulated; its events do not come`,
		`JobFunctionNightly: schedule "cron(0 3 * * ? *)" is not rate(N minutes|hours|days); it does not run`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in %s", want, all)
		}
	}
}

func TestPatterns(t *testing.T) {
	const event = `{"source":"shop","detail":{"state":"Paid","total":7,"tags":["a","b"],"nothing":null,"deep":{"x":true}}}`
	for pattern, want := range map[string]bool{
		`{}`:                                                true,
		`{"source":["a","shop"]}`:                           true,
		`{"source":["a"]}`:                                  false,
		`{"missing":["a"]}`:                                 false,
		`{"source":[{"prefix":"sh"}]}`:                      true,
		`{"source":[{"prefix":"x"}]}`:                       false,
		`{"source":[{"suffix":"op"}]}`:                      true,
		`{"source":[{"equals-ignore-case":"SHOP"}]}`:        true,
		`{"source":[{"anything-but":"shop"}]}`:              false,
		`{"source":[{"anything-but":["a","b"]}]}`:           true,
		`{"source":[{"anything-but":{"prefix":"sh"}}]}`:     false,
		`{"detail":{"total":[7]}}`:                          true,
		`{"detail":{"total":["7"]}}`:                        false,
		`{"detail":{"total":[{"numeric":[">",6,"<=",7]}]}}`: true,
		`{"detail":{"total":[{"numeric":["<",7]}]}}`:        false,
		`{"detail":{"total":[{"numeric":["=",7]}]}}`:        true,
		`{"source":[{"numeric":[">",0]}]}`:                  false,
		`{"detail":{"tags":["b"]}}`:                         true,
		`{"detail":{"nothing":[null]}}`:                     true,
		`{"detail":{"deep":{"x":[true]}}}`:                  true,
		`{"detail":{"deep":{"y":[{"exists":false}]}}}`:      true,
		`{"detail":{"deep":{"x":[{"exists":false}]}}}`:      false,
		`{"none":{"x":[{"exists":true}]}}`:                  false,
		`{"source":["shop"],"detail":{"state":["Due"]}}`:    false,
	} {
		var p, e map[string]any
		if err := json.Unmarshal([]byte(pattern), &p); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(event), &e); err != nil {
			t.Fatal(err)
		}
		if err := Check(p); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		if got := matches(p, e); got != want {
			t.Errorf("%s matches: %t, want %t", pattern, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for expr, want := range map[string]time.Duration{
		"rate(1 minute)": time.Minute, "rate(5 minutes)": 5 * time.Minute, "rate(2 hours)": 2 * time.Hour, "rate(1 day)": 24 * time.Hour,
		"cron(0 3 * * ? *)": 0, "rate(0 minutes)": 0, "rate(5)": 0, "rate(5 weeks)": 0, "": 0,
	} {
		if got, err := parseRate(expr); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: got %v, %v", expr, got, err)
		}
	}
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, events := start(t, Config{})
		begin := time.Now()
		event := string(<-events)
		if got := time.Since(begin); got != 5*time.Minute {
			t.Errorf("after %v", got)
		}
		want := regexp.MustCompile(`^{"version":"0","id":"[-0-9a-f]{36}","detail-type":"Scheduled Event","source":"aws.scheduler","account":"123456789012","time":"[-0-9T:]+Z","region":"us-east-1","resources":\["arn:aws:scheduler:us-east-1:123456789012:schedule/default/JobFunctionTick"\],"detail":"{}"}$`)
		if !want.MatchString(event) {
			t.Errorf("got %s", event)
		}
		<-events
		s.end()
	})
	synctest.Test(t, func(t *testing.T) {
		s, events := start(t, Config{NoSchedules: true})
		<-time.After(time.Hour)
		if len(events) > 0 {
			t.Error("a schedule ran that was off")
		}
		s.end()
	})
}
