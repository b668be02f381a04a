package stack_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/stack"
)

const ours = `<member><StackName>chat</StackName><StackStatus>UPDATE_COMPLETE</StackStatus><CreationTime>2026-11-30T00:00:00Z</CreationTime>
<Parameters><member><ParameterKey>EventBusName</ParameterKey><ParameterValue>app</ParameterValue></member>
<member><ParameterKey>JwtSecretArn</ParameterKey><ParameterValue>arn:secret</ParameterValue></member></Parameters>
<Outputs><member><OutputKey>WebSocketUrl</OutputKey><OutputValue>wss://abc.execute-api.eu-west-1.amazonaws.com/dev</OutputValue></member>
<member><OutputKey>ManagementEndpoint</OutputKey><OutputValue>https://abc.execute-api.eu-west-1.amazonaws.com/dev</OutputValue></member>
<member><OutputKey>EmitFunctionName</OutputKey><OutputValue>chat-EmitFunction-1</OutputValue></member>
<member><OutputKey>EmitQueueUrl</OutputKey><OutputValue>https://sqs/1/EmitQueue</OutputValue></member></Outputs></member>`

const others = `<member><StackName>shop</StackName><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-11-30T00:00:00Z</CreationTime></member>`

const broken = `<member><StackName>half</StackName><StackStatus>ROLLBACK_COMPLETE</StackStatus><CreationTime>2026-11-30T00:00:00Z</CreationTime></member>`

// cloud is CloudFormation, in two pages, and Secrets Manager.
func cloud(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = fmt.Fprint(w, `{"SecretString":"the key of this stack"}`)
		return
	}
	list, next := others+broken, "<NextToken>2</NextToken>"
	switch name := r.PostFormValue("StackName"); {
	case name == "none":
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id none does not exist</Message></Error></ErrorResponse>`)
		return
	case name != "":
		list, next = map[string]string{"chat": ours, "shop": others, "half": broken}[name], ""
	case r.PostFormValue("NextToken") == "2":
		list, next = ours, ""
	}
	_, _ = fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks>%s</Stacks>%s</DescribeStacksResult></DescribeStacksResponse>`, list, next)
}

func TestFind(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(cloud))
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	} {
		t.Setenv(name, value)
	}
	const address = "wss://abc.execute-api.eu-west-1.amazonaws.com/dev"
	for name, c := range map[string]struct{ address, stack string }{
		"by its name":       {"", "chat"},
		"by its address":    {address, ""},
		"by that of a page": {"https://abc.execute-api.eu-west-1.amazonaws.com/dev/", ""},
	} {
		t.Run("a stack is found "+name, func(t *testing.T) {
			found, err := stack.Find(t.Context(), c.address, c.stack)
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimSuffix(found.Address, "/") != address || found.Name != "chat" || found.Function != "chat-EmitFunction-1" || found.Unseen != nil ||
				found.Queue != "https://sqs/1/EmitQueue" || found.Bus != "app" || found.Management != "https://abc.execute-api.eu-west-1.amazonaws.com/dev" {
				t.Errorf("got %+v", found)
			}
			if secret, err := found.Secret(t.Context()); err != nil || string(secret) != "the key of this stack" {
				t.Errorf("its secret is %q, %v", secret, err)
			}
		})
	}
	t.Run("an address of no stack is all that is known", func(t *testing.T) {
		found, err := stack.Find(t.Context(), "wss://chat.example.org/", "")
		if err != nil || found.Address != "wss://chat.example.org/" || found.Unseen == nil || found.Function != "" {
			t.Errorf("got %+v, %v", found, err)
		}
		if _, err := found.Emitter(); err == nil || !strings.Contains(err.Error(), "--stack") {
			t.Errorf("its emitter: got %v", err)
		}
	})
	for name, c := range map[string]struct{ address, stack, want string }{
		"a stack that there is not":   {"", "none", "does not exist"},
		"a stack of something else":   {"", "shop", "not Bellhop's"},
		"a stack that was not made":   {"", "half", "ROLLBACK_COMPLETE"},
		"an address without a scheme": {"chat.example.org/dev", "", "WebSocket URL"},
		"an address of another kind":  {"ftp://chat.example.org/dev", "", "ftp://"},
	} {
		if _, err := stack.Find(t.Context(), c.address, c.stack); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
