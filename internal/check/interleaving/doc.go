// Package interleaving tries what happens when invocations meet. Every call that one action makes of the store, the queue and the
// management API is numbered, and at each of them, in turn, another action runs whole, or the function dies before or after the
// call, or the call's answer is lost: for all pairs of actions. Whatever comes of it, in the end a connection's row, its membership and
// its presence say the same, and so do the events that others have seen.
//
// It runs on the embedded store and, where there is one, on DynamoDB Local.
package interleaving
