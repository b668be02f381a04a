// Package tables holds everything that repeats the tables of events and actions of internal/protocol against them, where that
// belongs to no package of its own. Each failure names the row, and what to do.
//
//   - [TestCopies] makes what people and clients read of them: tables of PROTOCOL.md and DEPLOY.md, the types of @bellhop/client and its limits,
//     and the golden frames of events. `make docs` writes them.
//   - [TestActions] and [TestEventsOfTheServer] ask the hub whether it does what the rows say.
//   - [TestNames] looks for events that have no row.
package tables
