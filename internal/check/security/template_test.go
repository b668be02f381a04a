package security

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop"
)

type deployed struct {
	Parameters map[string]struct {
		Default *string `yaml:"Default"`
		NoEcho  bool    `yaml:"NoEcho"`
	} `yaml:"Parameters"`
	Resources map[string]struct {
		Type       string         `yaml:"Type"`
		Properties map[string]any `yaml:"Properties"`
	} `yaml:"Resources"`
}

func readTemplate(t *testing.T) deployed {
	t.Helper()
	var read deployed
	if err := yaml.Unmarshal(bellhop.Template, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// TestTemplateHoldsNoSecret: secrets are in Secrets Manager. The template and its settings know their names alone, and so
// do the environments of functions, which everybody may read who may describe a function.
func TestTemplateHoldsNoSecret(t *testing.T) {
	settings, err := os.ReadFile("../../../samconfig.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"template.yaml": string(bellhop.Template), "samconfig.toml": string(settings)} {
		for what, pattern := range map[string]string{
			"a token":               `eyJ[\w-]{10,}\.`,
			"a key of AWS":          `\b(AKIA|ASIA)[A-Z0-9]{16}\b`,
			"a private key":         `-----BEGIN`,
			"a value like a secret": `(?i)(secret|password|token|key)\w*\s*[:=]\s*["']?[\w+/=-]{32,}`,
		} {
			if found := regexp.MustCompile(pattern).FindString(text); found != "" {
				t.Errorf("%s holds %s: %s", name, what, found)
			}
		}
	}
	secret := regexp.MustCompile(`(?i)secret|password|token|private|credential|apikey`)
	read, looked := readTemplate(t), 0
	for name, p := range read.Parameters {
		if !secret.MatchString(name) {
			continue
		}
		looked++
		if p.Default == nil || *p.Default != "" {
			t.Errorf("parameter %s has a default", name)
		}
		if !strings.HasSuffix(name, "Arn") && !p.NoEcho {
			t.Errorf("parameter %s is neither the ARN of a secret nor NoEcho", name)
		}
	}
	for id, r := range read.Resources {
		environment, _ := r.Properties["Environment"].(map[string]any)
		variables, _ := environment["Variables"].(map[string]any)
		for name, value := range variables {
			if !secret.MatchString(name) {
				continue
			}
			looked++
			if text, ok := value.(string); !ok || !strings.HasSuffix(text, "Arn") || read.Parameters[text].Default == nil {
				t.Errorf("%s is told %s, which is not the ARN of a secret: %v", id, name, value)
			}
		}
	}
	if looked < 3 {
		t.Errorf("only %d parameters and variables look like secrets", looked)
	}
}

// TestTemplateLogsNoFrames: API Gateway writes neither what clients send nor the URLs they connect to into logs. An access log,
// which is a choice, has none of the variables that could hold a token:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
func TestTemplateLogsNoFrames(t *testing.T) {
	for _, setting := range []string{"DataTraceEnabled", "LoggingLevel"} {
		if strings.Contains(string(bellhop.Template), setting) {
			t.Errorf("template.yaml sets %s: tokens may get into the logs that way", setting)
		}
	}
	harmless := []string{
		"requestId", "connectionId", "eventType", "routeKey", "status", "error.message", "integrationErrorMessage",
		"integrationLatency", "identity.sourceIp", "requestTime",
	}
	formats := regexp.MustCompile(`(?m)^\s+Format: (.*)$`).FindAllStringSubmatch(string(bellhop.Template), -1)
	if logs := strings.Count(string(bellhop.Template), "AccessLogSettings:"); len(formats) != logs {
		t.Errorf("%d access logs have %d formats", logs, len(formats))
	}
	for _, format := range formats {
		variables := regexp.MustCompile(`\$(?:context\.)?([A-Za-z.]+)`).FindAllStringSubmatch(format[1], -1)
		for _, v := range variables {
			if !slices.Contains(harmless, v[1]) {
				t.Errorf("the access log has %s: may that hold a token?", v[0])
			}
		}
		if len(variables) == 0 {
			t.Errorf("nothing is known of the access log's format %s", format[1])
		}
	}
}

// TestEncryptedAtRest: everything that stores something encrypts it.
func TestEncryptedAtRest(t *testing.T) {
	stores := 0
	for id, r := range readTemplate(t).Resources {
		switch r.Type {
		case "AWS::DynamoDB::Table":
			stores++
			// DynamoDB encrypts every table. The choice is whose key it is: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/EncryptionAtRest.html
			choice, _ := r.Properties["SSESpecification"].([]any)
			if len(choice) != 3 || choice[0] != "HasKmsTable" {
				t.Errorf("%s cannot be encrypted with a key whose use CloudTrail shows", id)
			} else if sse, _ := choice[1].(map[string]any); sse["SSEEnabled"] != true {
				t.Errorf("%s with TableEncryption=kms is %v", id, choice[1])
			}
		case "AWS::SQS::Queue":
			stores++
			if r.Properties["SqsManagedSseEnabled"] != true && r.Properties["KmsMasterKeyId"] == nil {
				t.Errorf("%s is not encrypted", id)
			}
		case "AWS::S3::Bucket", "AWS::DynamoDB::GlobalTable", "AWS::SNS::Topic":
			t.Errorf("%s: say here how %s is encrypted", id, r.Type)
		}
	}
	if stores != 5 {
		t.Errorf("there are %d stores, want a table and four queues", stores)
	}
}

// TestNobodyElseMayInvoke: nothing outside of the account's own policies may run a function or fill a queue. Each permission
// is for one service and one source; nobody has a function URL.
func TestNobodyElseMayInvoke(t *testing.T) {
	permissions := 0
	for id, r := range readTemplate(t).Resources {
		switch r.Type {
		case "AWS::Lambda::Permission":
			permissions++
			principal, _ := r.Properties["Principal"].(string)
			if source, _ := r.Properties["SourceArn"].(string); !strings.HasSuffix(principal, ".amazonaws.com") || source == "" {
				t.Errorf("%s lets %q in, from anywhere", id, principal)
			}
		case "AWS::SQS::QueuePolicy", "AWS::Lambda::Url":
			t.Errorf("%s opens what it is for to others: say here to whom", id)
		case "AWS::Serverless::Function":
			if r.Properties["FunctionUrlConfig"] != nil {
				t.Errorf("%s has a URL of its own", id)
			}
		}
	}
	if permissions == 0 {
		t.Error("there are no permissions to look at")
	}
}
