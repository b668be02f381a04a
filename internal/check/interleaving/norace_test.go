//go:build !race

package interleaving

const raced = false
