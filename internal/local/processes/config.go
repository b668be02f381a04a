package processes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// config is how a function runs.
func (p *Children) config(ctx context.Context, r template.Function, dir string) (runtimeapi.Config, error) {
	env, err := p.environment(ctx, r)
	if err != nil {
		return runtimeapi.Config{}, err
	}
	base, err := url.Parse(p.here.Base)
	if err != nil {
		return runtimeapi.Config{}, fmt.Errorf("address of this server: %w", err)
	}
	c := runtimeapi.Config{
		Name: r.Name, Runtime: r.Runtime, Handler: r.Handler, Dir: dir, Env: env, Memory: r.MemoryMB, Timeout: r.Timeout, ARN: r.ARN,
		Layers: p.layersOf(ctx, r), SDK: p.sdk(ctx, r, dir), Logger: p.Logger, Redirect: redirects(base, env["AWS_ENDPOINT_URL_DYNAMODB"]),
	}
	if r.Concurrency != nil {
		c.Concurrency = *r.Concurrency
	}
	if p.Output != nil || p.here.Output != nil {
		c.Output = func(line runtimeapi.Line) {
			for _, tell := range []func(string, runtimeapi.Line){p.Output, p.here.Output} {
				if tell != nil {
					tell(r.ID, line)
				}
			}
		}
	}
	if command := p.command(r); command != "" {
		c.Command = shell(command)
	}
	return c, p.inspect(ctx, r, &c)
}

// command is what was said to run a function; empty: nothing was.
func (p *Children) command(r template.Function) string {
	return cmp.Or(p.Runtimes[r.ID], p.Runtimes[r.Runtime])
}

// redirects are for code that cannot be told where things are: handlers that build the management API's address from the
// API's id or from the domain name of the event, and SDKs too old for AWS_ENDPOINT_URL.
func redirects(here *url.URL, tables string) map[string]string {
	base := here.String()
	list := map[string]string{here.Host: base, "localhost:" + here.Port(): base}
	for _, name := range Names() {
		list[name] = base
	}
	if tables != "" {
		list[TableNames] = tables
	}
	return list
}

// Names are patterns of the names of AWS's services that the server answers for; a * stands for any characters.
func Names() []string {
	return []string{"*.execute-api.*.amazonaws.com", "sqs.*.amazonaws.com", "lambda.*.amazonaws.com", "events.*.amazonaws.com", "sns.*.amazonaws.com", "secretsmanager.*.amazonaws.com"}
}

// TableNames is the same of DynamoDB, which is another server.
const TableNames = "dynamodb.*.amazonaws.com"

// gateway is the address that a template gives its API on AWS.
var gateway = regexp.MustCompile(`(https|wss)://[a-z0-9-]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com(\.cn)?`)

// isTable tells the resources that package tables makes, under the names that the template gives them.
func isTable(kind string) bool {
	switch kind {
	case "AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable":
		return true
	}
	return false
}

// environment is what a function sees: the template's variables, with the tables, queues and the API as they are here, and over them
// what was given for all functions, and for this one.
func (p *Children) environment(ctx context.Context, r template.Function) (map[string]string, error) {
	here := p.here
	env := map[string]string{
		"AWS_ENDPOINT_URL_SQS": here.Base, "AWS_ENDPOINT_URL_LAMBDA": here.Base, "AWS_ENDPOINT_URL_SECRETS_MANAGER": here.Base,
	}
	for variable, has := range map[string]bool{ // a template without one may have its topics or buses elsewhere
		"AWS_ENDPOINT_URL_SNS": len(p.template().Topics) > 0, "AWS_ENDPOINT_URL_EVENTBRIDGE": len(p.template().Rules) > 0,
	} {
		if has {
			env[variable] = here.Base
		}
	}
	if here.Reach != nil {
		// Our runtimes of Node.js and Python lead names here by themselves.
		led := p.command(r) == "" && (strings.HasPrefix(r.Runtime, "nodejs") || strings.HasPrefix(r.Runtime, "python"))
		maps.Copy(env, here.Reach(!led))
		if !strings.HasPrefix(r.Runtime, "java") {
			delete(env, "JAVA_TOOL_OPTIONS") // Java says on stderr that it has read it
		}
	}
	own, warnings, err := p.template().Environment(r.ID, func(to template.Reference) (string, bool) {
		switch {
		case to.Type == "AWS::SQS::Queue" && to.Attribute == "":
			return here.QueueURL(to.Resource), true
		case isTable(to.Type) && to.Attribute == "":
			return to.Name, true
		}
		return "", false
	})
	if err != nil {
		return nil, fmt.Errorf("its environment: %w", err)
	}
	for _, w := range warnings {
		p.warnOnce(ctx, r.ID, w.Error())
	}
	for name, value := range own {
		env[name] = gateway.ReplaceAllStringFunc(value, func(match string) string {
			if strings.HasPrefix(match, "wss") {
				return strings.Replace(here.Base, "http", "ws", 1)
			}
			return here.Base
		})
	}
	maps.Copy(env, p.Env)
	maps.Copy(env, p.EnvOf[r.ID])
	return env, nil
}
