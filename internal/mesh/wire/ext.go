package wire

import "encoding/binary"

// Record.Ext is a list of extensions, of which a receiver uses those it knows and passes on the others:
//
//	type uvarint | length uvarint, bytes …

// ExtType names an extension. Numbers are part of the contract: never reuse one.
type ExtType uint64

// ExtTrace is the W3C traceparent of what caused the record, plain text.
const ExtTrace ExtType = 1

// AppendExt appends an extension to an extension area.
func AppendExt(dst []byte, t ExtType, value []byte) []byte {
	return appendBlock(binary.AppendUvarint(dst, uint64(t)), value)
}

// Extension returns the value of the first extension of type t as a view, and whether there is one.
func (r *Record) Extension(t ExtType) ([]byte, bool) {
	for rest := r.Ext; len(rest) > 0; {
		of, value, next, ok := extension(rest)
		if !ok {
			return nil, false
		}
		if of == t {
			return value, true
		}
		rest = next
	}
	return nil, false
}

func extension(b []byte) (t ExtType, value, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	if !ok {
		return 0, nil, nil, false
	}
	value, rest, ok = block(b)
	return ExtType(n), value, rest, ok
}

func validExt(b []byte) bool {
	for len(b) > 0 {
		_, _, rest, ok := extension(b)
		if !ok {
			return false
		}
		b = rest
	}
	return true
}
