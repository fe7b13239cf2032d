//go:build unix

package main

import (
	"math"
	"syscall"
)

// hardFileLimit returns how many files the process may ever have open.
func hardFileLimit() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxUint64 // unknown
	}
	return uint64(l.Max) //nolint:unconvert // signed on some systems
}
