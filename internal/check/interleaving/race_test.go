//go:build race

package interleaving

// raced: the race detector makes all of it ten times slower, so it sees the pairs of joining and leaving only.
const raced = true
