// Package manuals reads what is written for people, and holds it against the files: a link of a Markdown file leads
// somewhere, a path that one names is there, a block of code runs, and a command within a sentence has the flags that it is
// given. What a manual claims is held by other packages: internal/check/security has SECURITY.md, internal/check/costs
// COSTS.md, internal/check/deployment RUNBOOK.md.
//
// Blocks of a shell are run by bash, with testdata/stand-in in the place of what cannot be run here, or would run for ever.
package manuals
