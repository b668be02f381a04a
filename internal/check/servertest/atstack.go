package servertest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/bellhop-rt/bellhop/internal/local/server"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// stackVariable names a CloudFormation stack, in AWS or an emulator of it: the tests then run there and nowhere else, one after the
// other, each on a table that has been emptied. What needs a server of its own is skipped.
const stackVariable = "BELLHOP_STACK"

// deployment is the stack that the tests run at.
type deployment struct {
	*stack.Stack

	db        *dynamodb.Client
	table     string
	functions map[string]string // names, by logical id
}

// alone is held by the test that runs at the stack.
var alone sync.Mutex //nolint:gochecknoglobals // there is one stack

// atStack finds the stack that is named, once; nil: none is.
var atStack = sync.OnceValues(func() (*deployment, error) { //nolint:gochecknoglobals // see alone
	name := os.Getenv(stackVariable) //nolint:forbidigo // where the tests run
	if name == "" {
		return nil, nil
	}
	ctx := context.Background()
	s, err := stack.Find(ctx, "", name)
	if err != nil {
		return nil, err
	}
	out, err := cloudformation.NewFromConfig(s.AWS).DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe the resources of %s: %w", name, err)
	}
	d := &deployment{Stack: s, functions: map[string]string{}}
	for _, r := range out.StackResources {
		switch id := aws.ToString(r.LogicalResourceId); aws.ToString(r.ResourceType) {
		case "AWS::DynamoDB::Table":
			d.table = aws.ToString(r.PhysicalResourceId)
		case "AWS::Lambda::Function":
			d.functions[id] = aws.ToString(r.PhysicalResourceId)
		}
	}
	d.db = dynamo.NewClient(s.AWS)
	return d, nil
})

// deployed gives the stack that the tests run at; nil: they run here.
func deployed(tb testing.TB) *deployment {
	tb.Helper()
	d, err := atStack()
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// OwnServer skips a test that needs a server of its own, while the tests run at a stack.
func OwnServer(tb testing.TB) {
	tb.Helper()
	if deployed(tb) != nil {
		tb.Skip("this needs a server of its own, and " + stackVariable + " is set")
	}
}

// place has the stack for one test.
func (d *deployment) place(tb testing.TB) Place {
	tb.Helper()
	alone.Lock()
	tb.Cleanup(alone.Unlock)
	return Place{Store: dynamo.New(d.db, d.table, dynamo.Options{}), stack: d}
}

// start empties the table, and skips a test that wants other parameters than the stack has.
func (d *deployment) start(tb testing.TB, c Config) *Server {
	tb.Helper()
	for name, want := range c.Parameters {
		has := d.Parameters[name]
		enough := has == want
		if rate, err := strconv.Atoi(want); strings.HasPrefix(name, "Rate") && err == nil {
			n, err := strconv.Atoi(has)
			enough = err == nil && n >= rate
		}
		if !enough {
			tb.Skipf("this needs %s=%s, and the stack has %q", name, want, has)
		}
	}
	pages := dynamodb.NewScanPaginator(d.db, &dynamodb.ScanInput{TableName: &d.table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		for _, row := range page.Items {
			key := map[string]types.AttributeValue{"pk": row["pk"], "sk": row["sk"]}
			if _, err := d.db.DeleteItem(tb.Context(), &dynamodb.DeleteItemInput{TableName: &d.table, Key: key}); err != nil {
				tb.Fatal(err)
			}
		}
	}
	base := strings.TrimSuffix(strings.Replace(d.Address, "ws", "http", 1), "/dev")
	return &Server{Server: &server.Server{URL: base}, tb: tb, stack: d}
}

// invoke runs a function of the stack by its name here.
func (d *deployment) invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	function := d.functions[strings.ToUpper(name[:1])+name[1:]+"Function"]
	out, err := lambda.NewFromConfig(d.AWS).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	if out.FunctionError != nil {
		return nil, fmt.Errorf("%s failed: %s", function, out.Payload)
	}
	return out.Payload, nil
}
