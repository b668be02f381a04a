// Package bellhop holds the deployment template, the one list of routes, functions, queues and tables.
//
// AWS deploys [Template], and `bellhop dev` carries a copy of it so that the laptop has what the cloud has.
// The programs are in functions/ and cmd/bellhop; the package for programs that emit is emitter.
package bellhop

import _ "embed"

// Template is template.yaml as it was when the program was built.
//
//go:embed template.yaml
var Template []byte
