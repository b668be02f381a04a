// Package app is the place for your own logic in Go, if you keep a copy of this code: what Handlers of app.go gives is asked
// in every function, on AWS and under bellhop dev. For logic in another language, or beside this code, name an application
// function instead: see docs/HOOKS.md.
//
// With the build tag "example" it runs examples/hooks-go:
//
//	go run -tags example ./cmd/bellhop dev --dynamodb local
package app

import "github.com/aws/aws-sdk-go-v2/service/dynamodb"

// Setup is what handlers may need.
type Setup struct {
	// DynamoDB and Table are where Bellhop keeps its rows; yours may lie beside them, under a pk that begins with "app#".
	// DynamoDB is nil under bellhop dev without --dynamodb.
	DynamoDB *dynamodb.Client
	Table    string
}
