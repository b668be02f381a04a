// Package simulation tries to break the promises of package hub. Its tests run the hub on the embedded store in a world
// of their own: clients that follow the rules of package protocol, API Gateway, Lambda, SQS, and a clock. All of them
// fail in the ways that the real ones do. When the faults are over and everything had its time to heal, what the clients
// saw, what the log holds and what the store is left with must agree.
//
// About a third of the clients are of Socket.IO, in the same rooms as those that speak bellhop.v1. They wait for the open
// packet, show their token in a CONNECT, answer pings, and give a connection up on which no ping comes. What they say is
// the same, as EVENTs and ACKs, and so is all that is held against it. A client that comes back asks for its session. If it
// is recovered it relies on being in half of its rooms, and on having been pushed what it missed; the others it joins.
//
// Some of these have a second socket for a while, in another namespace of the same connection, which types and publishes there. Neither its
// end nor the answers to it must touch the first one. Programs
// ask clients of Socket.IO, and where the owner has a word clients call it: whoever asks gets what was answered to just that question, by just
// that socket, and nothing that was kept in time is left out.
//
// # One seed, one run
//
// A run is decided by its seed alone. Nothing happens at the same time: every Lambda invocation is a coroutine that stops
// at each call of the store, of the management API and of the queue. The world waits until all have stopped (package
// testing/synctest knows when), gives each call the moment when it takes effect and the fault that befalls it, and goes
// on with whatever comes first. So a seed that fails can be run again, and read:
//
//	go test ./internal/check/simulation -run TestSimulation -from 4711 -seeds 1 -v -full
//
// # What may go wrong
//
//   - A call fails before or after it took effect, takes long, or never returns, since its invocation is cut off there.
//   - An invocation is frozen for seconds between two calls, runs into its timeout, or is made twice.
//   - Frames are late, those of the server overtake each other, and functions overtake each other with what a client asked for
//     in order: some clients join and leave without waiting for answers. A post is throttled, or times out with or without having arrived.
//   - A connection ends without its client or API Gateway knowing; $disconnect comes late or never.
//   - A message of a queue is late, comes twice, or again after its visibility timeout.
//   - DynamoDB counts a position up and writes there later, or never.
//   - The open packet comes late or twice, a CONNECT comes twice, and one that was given up takes effect later.
//   - The embedded store's disk is full for a while, and what it has refused is done again.
//   - A question is answered late, twice or never.
//   - A ping or its answer is lost, and then a connection is closed whose client is there.
//
// What may not: a job that fails as often as its queue allows, or a sweep that fails as often as Lambda tries it. The last
// try of each is without faults, since what is left then is for an operator. And a call that is given up by its deadline
// takes effect at most 3 s after it. A connection of Socket.IO that began when the faults were over must come to be, be
// pinged, and stay.
//
// In some worlds the owner has a word: its hooks keep users out of rooms that it has banned them from, and its program takes them out.
// From then on they are no members, and nothing of theirs is told, whichever way they come.
//
// Some clients are no friends: they publish under ids that others have used or are about to, and come with the private id of another
// user's session.
//
// # What recovery does not promise
//
// A client tells of one event that it has seen, so its server cannot know all that it has not. What that leaves open is
// listed in the code, and nothing else may be missing. A client that gave up a CONNECT in between does not rely on being
// recovered: it joins its rooms again, as clients do that were not recovered, and leaves those that it does not want.
package simulation
