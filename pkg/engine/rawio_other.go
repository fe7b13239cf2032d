//go:build !unix

package engine

import (
	"net"
	"syscall"
)

const rawSupported = false

// newRawIO is not reached where rawSupported is false.
func newRawIO(net.Conn, syscall.RawConn, *bufferPools) netIO { return nil }

// waitReadable is not reached either.
func waitReadable(syscall.RawConn) error { return nil }
