// Package manuals reads what is written for people, and holds it against the files: a link of a Markdown file leads
// somewhere, and a path that one names is there. What a manual claims is held by other packages: internal/check/security
// has SECURITY.md, internal/check/costs COSTS.md, internal/check/deployment RUNBOOK.md.
package manuals
