package deployment

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop"
)

// monitoring reads infra/monitoring.yaml.
func monitoring(t *testing.T) map[string]resource {
	t.Helper()
	text, err := os.ReadFile(root + "infra/monitoring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Parameters map[string]any      `yaml:"Parameters"`
		Resources  map[string]resource `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	given := object(resources(t, "AWS::CloudFormation::Stack")["MonitoringStack"].Properties, "Parameters")
	for name := range template.Parameters {
		if given[name] == nil {
			t.Errorf("template.yaml does not give %s to infra/monitoring.yaml", name)
		}
	}
	for name := range given {
		if template.Parameters[name] == nil {
			t.Errorf("infra/monitoring.yaml has no parameter %s", name)
		}
	}
	return template.Resources
}

// TestRunbook: whoever is woken by an alarm finds what to do.
func TestRunbook(t *testing.T) {
	book, err := os.ReadFile(root + "docs/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(book), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = strings.Join(strings.Fields(text), " ")
	}
	alarms := 0
	for id, r := range monitoring(t) {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		alarms++
		says := strings.Join(strings.Fields(text(r.Properties, "AlarmDescription")), " ")
		if says == "" || !strings.HasPrefix(sections[id], says) {
			t.Errorf("the section %s of RUNBOOK.md begins with\n%.150s\nwant\n%s", id, sections[id], says)
		}
		if text(r.Properties, "AlarmName") != "${Stack}-"+id {
			t.Errorf("%s is called %s", id, text(r.Properties, "AlarmName"))
		}
		if text(r.Properties, "TreatMissingData") == "" || at(r.Properties, "AlarmActions") == nil {
			t.Errorf("%s tells nobody, or does not say what no data means", id)
		}
	}
	if alarms < 10 {
		t.Errorf("there are only %d alarms", alarms)
	}
}

// TestDeadLetterAlarms: whatever ends in a dead-letter queue is noticed.
func TestDeadLetterAlarms(t *testing.T) {
	watched := map[string]bool{}
	for _, r := range monitoring(t) {
		if text(r.Properties, "MetricName") != "ApproximateNumberOfMessagesVisible" {
			continue
		}
		dimensions, _ := at(r.Properties, "Dimensions").([]any)
		watched[text(dimensions[0], "Value")] = true
	}
	for id, queue := range resources(t, "AWS::SQS::Queue") {
		dead := strings.TrimSuffix(text(queue.Properties, "RedrivePolicy", "deadLetterTargetArn"), ".Arn")
		if dead != "" && !watched[dead] {
			t.Errorf("nobody is told of messages in %s, the dead-letter queue of %s", dead, id)
		}
	}
}

// dashboard is what it shows, where hooks are asked or not.
func dashboard(t *testing.T, hooks bool) (metrics [][]any) {
	t.Helper()
	parts, _ := at(monitoring(t)["Dashboard"].Properties, "DashboardBody").([]any)
	if len(parts) != 2 {
		t.Fatalf("the dashboard is %v", parts)
	}
	widgets := ""
	if choice, _ := at(parts[1], "HookWidgets").([]any); hooks {
		widgets, _ = choice[1].(string)
	}
	body, _ := parts[0].(string)
	var board struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(strings.Replace(body, "${HookWidgets}", widgets, 1)), &board); err != nil {
		t.Fatal(err)
	}
	for _, w := range board.Widgets {
		if w.Properties.Title == "" || len(w.Properties.Metrics) == 0 {
			t.Errorf("a widget is empty: %+v", w)
		}
		metrics = append(metrics, w.Properties.Metrics...)
	}
	return metrics
}

// alarmMetrics is how many metrics an alarm looks at, which is what it is billed for.
func alarmMetrics(alarm resource, all bool) int {
	list, many := at(alarm.Properties, "Metrics").([]any)
	if !many {
		return 1
	}
	n := 0
	for _, m := range list {
		if choice, is := m.([]any); is { // !If [HasAll, …, AWS::NoValue]
			if m = choice[1]; !all {
				continue
			}
		}
		if at(m, "MetricStat") != nil {
			n++
		}
		if strings.HasPrefix(text(m, "Expression"), "ANOMALY_DETECTION_BAND") {
			n += 2 // its bounds
		}
	}
	return n
}

// TestFreeAmounts: what is there without being asked for is within CloudWatch's free amounts.
func TestFreeAmounts(t *testing.T) {
	basic, full := 0, 0
	for id, r := range monitoring(t) {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		full += alarmMetrics(r, true)
		if r.Condition == "" || r.Condition == "HasMetrics" {
			basic += alarmMetrics(r, false)
		} else if !strings.HasPrefix(r.Condition, "HasAll") && r.Condition != "HasFacts" {
			t.Errorf("%s has a condition %s", id, r.Condition)
		}
	}
	if basic > 10 || full <= basic {
		t.Errorf("alarms look at %d metrics by default, and at %d of all; 10 are free", basic, full)
	}
	shown := len(dashboard(t, false))
	if shown > 50 {
		t.Errorf("the dashboard shows %d metrics, 50 are free", shown)
	}
	costs, err := os.ReadFile(root + "docs/COSTS.md")
	if err != nil {
		t.Fatal(err)
	}
	full-- // FactsLost, which takes an event bus
	for _, row := range []string{
		fmt.Sprintf("| metrics that alarms look at | 0 | %d | %d |", basic, full),
		fmt.Sprintf("| metrics on the dashboard | 0 | %d | %d |", shown, shown),
		fmt.Sprintf("| a month, beyond what is free | $0 | $0 | $%.2f |", float64(full-10)/10),
	} {
		if !strings.Contains(string(costs), row) {
			t.Errorf("COSTS.md does not say %s", row)
		}
	}
	var template struct {
		Parameters map[string]struct {
			Default any `yaml:"Default"`
		} `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &template); err != nil {
		t.Fatal(err)
	}
	if got := template.Parameters["Tracing"].Default; got != "PassThrough" {
		t.Errorf("Tracing is %v by default", got)
	}
	if got := template.Parameters["TableEncryption"].Default; got != "dynamodb" {
		t.Errorf("the table is encrypted with the key of %v by default, which may be billed", got)
	}
}

// TestBlindAlarms: no alarm waits for metrics that are not written.
func TestBlindAlarms(t *testing.T) {
	for id, r := range monitoring(t) {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		described, err := json.Marshal(r.Properties)
		if err != nil {
			t.Fatal(err)
		}
		counted := strings.ReplaceAll(string(described), `"MetricName":"${Stack}-AuthorizeFailures","Namespace":"Bellhop"`, "")
		if choice := `"Namespace":["HasMetrics","Bellhop","AWS/Lambda"]`; strings.Contains(counted, choice) {
			counted = strings.ReplaceAll(counted, choice, "") // and what else is chosen goes with it
			for _, with := range []string{`"MetricName":["HasMetrics",`, `"Dimensions":[["HasMetrics",`} {
				if !strings.Contains(counted, with) {
					t.Errorf("%s: %s does not go with its namespace", id, with)
				}
			}
		}
		if strings.Contains(counted, `"Bellhop"`) && !slices.Contains([]string{"HasMetrics", "HasAllWithMetrics", "HasFacts"}, r.Condition) {
			t.Errorf("%s is there with Metrics=off, and would never go off", id)
		}
	}
}

// TestAlarmMail: CloudWatch may publish to the topic, and a new stack wakes nobody.
func TestAlarmMail(t *testing.T) {
	all := monitoring(t)
	if key := at(all["AlarmTopic"].Properties, "KmsMasterKeyId"); key != nil {
		t.Errorf("CloudWatch may not use the key %v, and no mail comes", key)
	}
	for id, r := range all {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		told, err := json.Marshal(at(r.Properties, "AlarmActions"))
		if err != nil || !strings.Contains(string(told), "AlarmTopic") || !strings.Contains(string(told), "AlarmTopicArn") {
			t.Errorf("%s tells %s", id, told)
		}
		if text(r.Properties, "TreatMissingData") == "breaching" {
			t.Errorf("%s is on at a stack that has no data yet", id)
		}
	}
	if sweep := all["SweepStopped"].Properties; text(sweep, "TreatMissingData") != "missing" || at(sweep, "InsufficientDataActions") == nil {
		t.Error("nobody is told of a sweep that has stopped")
	}
}

// TestDashboard: it shows every metric of the hub, and none that there is not.
func TestDashboard(t *testing.T) {
	shown := map[string]bool{}
	for _, m := range slices.Concat(dashboard(t, false), dashboard(t, true)) {
		if name, ok := m[1].(string); ok && m[0] == "Bellhop" {
			shown[name] = true
		}
	}
	code, err := os.ReadFile(root + "internal/hub/observer.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"Errors": true, "${Stack}-AuthorizeFailures": true} // by internal/aws/metrics, and by a filter of logs
	for _, match := range regexp.MustCompile(`Metric = "(\w+)"`).FindAllStringSubmatch(string(code), -1) {
		names := []string{match[1]}
		if strings.HasPrefix(match[1], "Hook") {
			names = []string{match[1] + "Action", match[1] + "Join", match[1] + "Publish", match[1] + "Connect", match[1] + "Disconnect"}
		}
		for _, name := range names {
			if known[name] = true; !shown[name] {
				t.Errorf("%s is not on the dashboard", name)
			}
		}
	}
	for name := range shown {
		if !known[name] {
			t.Errorf("the dashboard shows %s, which nobody counts", name)
		}
	}
	if len(known) < 15 {
		t.Errorf("internal/hub/observer.go has only %d metrics", len(known))
	}
}

// TestDashboardUrl: the console has another address in each partition of AWS, the region's own in all of them.
func TestDashboardUrl(t *testing.T) {
	text, err := os.ReadFile(root + "infra/monitoring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Conditions map[string]yaml.Node `yaml:"Conditions"`
		Outputs    map[string]struct {
			Value yaml.Node `yaml:"Value"`
		} `yaml:"Outputs"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	output := template.Outputs["DashboardUrl"].Value
	for partition, c := range map[string]struct{ region, want string }{
		"aws":        {"eu-central-1", "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards:name=bellhop-prod"},
		"aws-cn":     {"cn-north-1", "https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=cn-north-1#dashboards:name=bellhop-prod"},
		"aws-us-gov": {"us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/cloudwatch/home?region=us-gov-west-1#dashboards:name=bellhop-prod"},
	} {
		chosen := choices{t, map[string]string{"AWS::Partition": partition, "AWS::Region": c.region, "Stack": "bellhop-prod"}, template.Conditions}
		if got := chosen.value(&output); got != c.want {
			t.Errorf("%s: got %s, want %s", partition, got, c.want)
		}
	}
}

// TestPartitions: nothing takes the partition for granted, or the names that it gives services to the outside.
func TestPartitions(t *testing.T) {
	for _, name := range []string{"template.yaml", "infra/monitoring.yaml"} {
		text, err := os.ReadFile(root + name)
		if err != nil {
			t.Fatal(err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		resources := document.Content[0]
		for i, part := range resources.Content {
			if part.Value == "Resources" || part.Value == "Outputs" {
				noPartition(t, name, resources.Content[i+1])
			}
		}
	}
}

func noPartition(t *testing.T, file string, n *yaml.Node) {
	t.Helper()
	// Principals of services (lambda.amazonaws.com) are the same in all partitions.
	if strings.Contains(n.Value, "arn:aws:") || strings.Contains(n.Value, "${AWS::Region}.amazonaws.com") {
		t.Errorf("%s:%d is for one partition alone: %s", file, n.Line, n.Value)
	}
	for _, below := range n.Content {
		noPartition(t, file, below)
	}
}
