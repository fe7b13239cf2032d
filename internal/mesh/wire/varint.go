package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Numbers are unsigned LEB128 as in encoding/binary, in their shortest form only, so that every value has one encoding.

// maxUvarint is the longest encoded number in bytes.
const maxUvarint = binary.MaxVarintLen64

// uvarint reads a number from the start of b and returns it with what follows; ok is false if there is none.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	v, n := binary.Uvarint(b)
	if n <= 0 || b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// block reads a length and that many bytes.
func block(b []byte) (view, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

func appendBlock(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }
