// Package tables makes the DynamoDB tables of a template on this machine: in DynamoDB Local, or whatever stands in for it.
package tables

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// Region and Key are who asks a DynamoDB on this machine, which keeps tables apart by them. They open nothing anywhere else.
const (
	Region = "us-east-1"
	Key    = "bellhop"
)

// Client is one for a DynamoDB that is not AWS's: DynamoDB Local, or LocalStack.
func Client(endpoint string) *dynamodb.Client {
	return dynamo.NewClient(
		aws.Config{Region: Region, Credentials: credentials.NewStaticCredentialsProvider(Key, Key, "")},
		func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint },
	)
}

// Environment is what a function has to know to find the same tables.
func Environment(endpoint string) map[string]string {
	env := map[string]string{"AWS_REGION": Region, "AWS_ACCESS_KEY_ID": Key, "AWS_SECRET_ACCESS_KEY": Key}
	if endpoint != "" {
		env["AWS_ENDPOINT_URL_DYNAMODB"] = endpoint
	}
	return env
}

// Own is the table of template.yaml with its parameters.
func Own(parameters map[string]string) (template.Table, error) {
	t, err := template.Read(bellhop.Template, template.Options{Parameters: parameters})
	if err != nil {
		return template.Table{}, err
	}
	return t.Tables[0], nil
}

// Create makes the tables of a template, those that are not there, and waits until they can be used.
func Create(ctx context.Context, client *dynamodb.Client, list ...template.Table) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, t := range list {
		_, err := client.CreateTable(ctx, tableInput(t))
		if _, there := errors.AsType[*types.ResourceInUseException](err); there {
			continue
		}
		if err != nil {
			return fmt.Errorf("create table %s: %w", t.Name, err)
		}
		if err := dynamodb.NewTableExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name}, time.Minute); err != nil {
			return fmt.Errorf("wait for table %s: %w", t.Name, err)
		}
		if t.TTL == "" {
			continue
		}
		on := true
		_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
			TableName: &t.Name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &t.TTL, Enabled: &on},
		})
		if err != nil {
			return fmt.Errorf("set TTL of table %s: %w", t.Name, err)
		}
	}
	return nil
}

func tableInput(t template.Table) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{TableName: &t.Name, KeySchema: keys(t.Key), BillingMode: types.BillingModeProvisioned}
	if t.OnDemand {
		in.BillingMode = types.BillingModePayPerRequest
	} else {
		in.ProvisionedThroughput = throughput(t.Throughput)
	}
	for _, a := range t.Attributes {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: &a.Name, AttributeType: types.ScalarAttributeType(a.Type),
		})
	}
	for _, x := range t.Global {
		index := types.GlobalSecondaryIndex{IndexName: &x.Name, KeySchema: keys(x.Key), Projection: projection(x.Projection)}
		if !t.OnDemand {
			index.ProvisionedThroughput = throughput(x.Throughput)
		}
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, index)
	}
	for _, x := range t.Local {
		in.LocalSecondaryIndexes = append(in.LocalSecondaryIndexes, types.LocalSecondaryIndex{
			IndexName: &x.Name, KeySchema: keys(x.Key), Projection: projection(x.Projection),
		})
	}
	if t.Stream != "" {
		on := true
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: &on, StreamViewType: types.StreamViewType(t.Stream)}
	}
	return in
}

func keys(list []template.TableKey) []types.KeySchemaElement {
	schema := make([]types.KeySchemaElement, len(list))
	for i, k := range list {
		schema[i] = types.KeySchemaElement{AttributeName: &k.Name, KeyType: types.KeyType(k.Type)}
	}
	return schema
}

func throughput(t template.TableThroughput) *types.ProvisionedThroughput {
	read, write := max(t.Read, 1), max(t.Write, 1)
	return &types.ProvisionedThroughput{ReadCapacityUnits: &read, WriteCapacityUnits: &write}
}

func projection(p template.TableProjection) *types.Projection {
	kind := types.ProjectionType(p.Type)
	if kind == "" {
		kind = types.ProjectionTypeAll
	}
	return &types.Projection{ProjectionType: kind, NonKeyAttributes: p.Attributes}
}
