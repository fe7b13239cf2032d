//go:build unix && (!linux || race)

package engine

import "syscall"

// writeFD writes once, without waiting, to a descriptor that does not block.
func writeFD(fd int, b []byte) (int, error) { return syscall.Write(fd, b) } //nolint:wrapcheck // told apart by the caller
