package deployment

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
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

// TestDashboard: it shows every metric of the hub, and none that there is not.
func TestDashboard(t *testing.T) {
	body := text(monitoring(t)["Dashboard"].Properties, "DashboardBody")
	var dashboard struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, w := range dashboard.Widgets {
		if w.Properties.Title == "" || len(w.Properties.Metrics) == 0 {
			t.Errorf("a widget is empty: %+v", w)
		}
		for _, m := range w.Properties.Metrics {
			if name, ok := m[1].(string); ok && m[0] == "Bellhop" {
				shown[name] = true
			}
		}
	}
	code, err := os.ReadFile(root + "internal/hub/observer.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"Errors": true} // by internal/aws/metrics
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
