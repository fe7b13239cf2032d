//go:build !race

package edge

const lossyPools = false
