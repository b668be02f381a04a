package upgrade_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// TestItems puts what each commit's functions have stored into a table.
func TestItems(t *testing.T) {
	client := tables(t)
	for commit, file := range with(t, "items.json") {
		t.Run(commit, func(t *testing.T) {
			table := load(t, client, file)
			var st story
			readJSON(t, fixtures(commit, "items.story.json"), &st)
			e := at(t, st, func(now func() time.Time) store { return dynamo.New(client, table, dynamo.Options{Now: now}) })
			e.members(t)
			e.presence(t)
			e.histories(t, true)
			e.idempotent(t)
			e.recovered(t)
			if len(st.Sockets) > 0 {
				e.grown(t)
				e.sockets(t, true)
			}
			e.allDepart(t)
		})
	}
}

// load makes a table with the key of template.yaml, and no TTL: DynamoDB Local would delete items of the past.
func load(t *testing.T, client *dynamodb.Client, file string) (table string) {
	t.Helper()
	pk, sk := "pk", "sk"
	table = "upgrade-" + rand.Text()
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &pk, AttributeType: types.ScalarAttributeTypeS}, {AttributeName: &sk, AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: &pk, KeyType: types.KeyTypeHash}, {AttributeName: &sk, KeyType: types.KeyTypeRange}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
			t.Error(err)
		}
	})
	var items []map[string]map[string]any
	readJSON(t, file, &items)
	for _, item := range items {
		values := map[string]types.AttributeValue{}
		for name, v := range item {
			values[name] = value(t, v)
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: values}); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// value undoes plain.
func value(t *testing.T, v map[string]any) types.AttributeValue {
	t.Helper()
	for kind, x := range v {
		switch kind {
		case "S":
			return &types.AttributeValueMemberS{Value: x.(string)}
		case "N":
			return &types.AttributeValueMemberN{Value: x.(string)}
		case "B":
			b, err := base64.StdEncoding.DecodeString(x.(string))
			if err != nil {
				t.Fatal(err)
			}
			return &types.AttributeValueMemberB{Value: b}
		case "BOOL":
			return &types.AttributeValueMemberBOOL{Value: x.(bool)}
		case "SS":
			var list []string
			for _, s := range x.([]any) {
				list = append(list, fmt.Sprint(s))
			}
			return &types.AttributeValueMemberSS{Value: list}
		case "M":
			fields := map[string]types.AttributeValue{}
			for name, f := range x.(object) {
				fields[name] = value(t, f.(object))
			}
			return &types.AttributeValueMemberM{Value: fields}
		default:
			t.Fatalf("no item has %s: %v", kind, x)
		}
	}
	return nil
}
