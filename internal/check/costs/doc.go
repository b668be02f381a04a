// Package costs makes the tables of docs/COSTS.md: from the price list and the load model of internal/local/cost, and by
// running each action through the hub on a store that is metered. `make docs` writes them into the page. Without that, its
// test fails when one of them is out of date.
package costs
