//go:build !unix

package main

import "math"

// hardFileLimit returns how many files the process may ever have open: there is no such limit.
func hardFileLimit() uint64 { return math.MaxUint64 }
