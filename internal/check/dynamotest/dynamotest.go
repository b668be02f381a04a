// Package dynamotest gives tests a table in DynamoDB Local, like that of template.yaml.
package dynamotest

import (
	"context"
	"crypto/rand"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop/internal/local/tables"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// Table is a table of a test's own.
type Table struct {
	Client *dynamodb.Client
	Name   string
	// Env is what the environment of a function says of it.
	Env map[string]string
}

// Need skips the test where there is no DynamoDB Local. In the CI nothing is left out: there it fails.
func Need(tb testing.TB) (endpoint string) {
	tb.Helper()
	endpoint = os.Getenv("DYNAMODB_ENDPOINT") //nolint:forbidigo // where the tests' database is
	if endpoint != "" {
		return endpoint
	}
	const how = "DYNAMODB_ENDPOINT is not set; run the tests by scripts/dynamodb-local go test ./..."
	if os.Getenv("CI") != "" { //nolint:forbidigo // see above
		tb.Fatal(how)
	}
	tb.Skip(how)
	return ""
}

// New makes a table that is deleted at the end of the test. Its name begins with prefix.
func New(tb testing.TB, prefix string, change ...func(*dynamodb.Options)) Table {
	tb.Helper()
	endpoint := Need(tb)
	cfg, err := config.LoadDefaultConfig(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	t := Table{Name: prefix + "-" + rand.Text()}
	t.Client = dynamo.NewClient(cfg, append(change, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })...)
	own, err := tables.Own(nil)
	if err != nil {
		tb.Fatal(err)
	}
	own.Name = t.Name
	if err := tables.Create(tb.Context(), t.Client, own); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if _, err := t.Client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &t.Name}); err != nil {
			tb.Error(err)
		}
	})
	who, err := cfg.Credentials.Retrieve(tb.Context()) // DynamoDB Local has tables of its own for each
	if err != nil {
		tb.Fatal(err)
	}
	t.Env = map[string]string{
		"TABLE_NAME": t.Name, "AWS_ENDPOINT_URL_DYNAMODB": endpoint, "AWS_REGION": cfg.Region,
		"AWS_ACCESS_KEY_ID": who.AccessKeyID, "AWS_SECRET_ACCESS_KEY": who.SecretAccessKey,
	}
	return t
}
