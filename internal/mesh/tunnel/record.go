package tunnel

import (
	"encoding/binary"
	"errors"

	"github.com/siomesh/siomesh/internal/mesh"
)

// The body of every record begins with the stream (see wire.KindStreamOpen):
//
//	number << 1 | sent by the side that accepted it, uvarint | head, bytes, reason, or credit as a uvarint

// key names a stream at one end: number is its opener's.
type key struct {
	peer     mesh.InstanceID
	number   uint64
	accepted bool // this end accepted it
}

// name is what a record of this end begins with.
func (k key) name() []byte {
	n := k.number << 1
	if k.accepted {
		n |= 1
	}
	return binary.AppendUvarint(make([]byte, 0, 16), n)
}

// errMalformed is a record that no tunnel sends.
var errMalformed = errors.New("malformed stream record")

// parseKey reads the beginning of a body that came from a peer.
func parseKey(from mesh.InstanceID, body []byte) (k key, rest []byte, err error) {
	name, n := binary.Uvarint(body)
	if n <= 0 {
		return key{}, nil, errMalformed
	}
	return key{peer: from, number: name >> 1, accepted: name&1 == 0}, body[n:], nil
}
