//go:build race

package edge

// lossyPools: with the race detector a sync.Pool forgets part of what it is given, on purpose.
const lossyPools = true
