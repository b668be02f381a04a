// Package deployment holds what is deployed against what it is made of: template.yaml against the folders of functions/ and
// the protocol's actions, infra/monitoring.yaml against the metrics and the runbook, and the functions' programs against
// what may be in them. cfn-lint and `sam validate` know AWS's rules; these tests know ours.
package deployment
