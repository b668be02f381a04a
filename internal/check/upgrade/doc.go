// Package upgrade tests that Bellhop can be updated in place: what earlier versions have stored, queued, sent and
// promised is still read, done, understood and kept. Its fixtures are never written anew for a version that has them;
// a new version gets its own.
//
// testdata/<commit> is what that commit left behind:
//
//   - stopped: a data directory after a clean stop ("everything is saved"). Nobody is connected any more, the logs reach
//     back to their beginning, and the jobs that end everybody's presence wait in the queue.
//   - killed: the same after kill -9. Connections and memberships are there.
//   - items.json: the items of the table while clients are connected, written by the functions in processes of their own.
//   - *.story.json: what the commit itself answered about it before it ended, and when.
//   - jobs.json, commands.json: one job of each kind, and what the package emitter makes of each of its methods.
//   - template.json: the parameters, logical ids, keys and outputs of its template.
//   - frames: copies of its golden frames.
//
// Beside them, api_<commit>_test.go uses all that its public Go packages export, and compiles as long as they still do.
// web/client/test/upgrade has the same of the npm package, and runs its client and its emitter of then.
//
// All but the frames were made by
//
//	scripts/dynamodb-local go test ./internal/check/upgrade -run TestWrite -v -timeout 30m -write f6968f4,02abf3e,808376d,556b6f9
//
// which takes each commit's sources out of the history by git archive, builds cmd/bellhop, and then only does what a user
// can: bellhop dev with --data or --template and --dynamodb, clients over WebSockets, the emit function by its URL, an
// interrupt, and for the one that is killed a kill. bbolt's own compaction takes the free pages out of the files before
// gzip. A room grows by 5,050 connections of one user, whose rows are gone before the story begins.
//
// Servers are processes here, since most of them are of other commits, and clients speak bellhop.v1 frame by frame: with
// anything of today's in them they would change with it.
package upgrade
