//go:build linux && !race

package engine

import (
	"syscall"
	"unsafe"
)

// writeFD writes once, without waiting, to a descriptor that does not block. The scheduler is not told: the call is as short
// as the copy into the kernel's buffer.
func writeFD(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
