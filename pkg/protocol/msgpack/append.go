package msgpack

import (
	"fmt"
	"strconv"

	codec "github.com/vmihailenco/msgpack/v5"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// Append appends the one message that a packet is to dst and returns the extended
// slice: the inverse of Decoder.Binary. In the payload every placeholder for one of
// attachments becomes the bytes themselves; without attachments what looks like a
// placeholder is plain data. Integers take the fewest bytes, strings are UTF-8 (half
// a surrogate pair becomes U+FFFD), keys keep their order. What p says of the number
// of attachments, and Event, are not looked at.
//
// Unlike protocol.Append it has to understand the payload, so it returns an error,
// and dst as it was, if that is not JSON, if the id is no decimal number of 64 bits,
// or if placeholders name attachments again and again: what this adds to the message
// may be a MiB.
func Append(dst []byte, p protocol.Packet, attachments [][]byte) ([]byte, error) {
	if len(p.Data) > 0 {
		if err := protocol.Valid(p.Data, maxDepth); err != nil {
			return dst, fmt.Errorf("payload: %w", err)
		}
	}
	w := &writer{json: p.Data, text: string(p.Data), attachments: attachments, spare: maxRepeated, out: dst}
	w.count()
	for _, a := range attachments {
		w.spare += len(a)
	}
	w.tokens = codec.GetEncoder()
	w.tokens.Reset(w)
	w.packet(p)
	codec.PutEncoder(w.tokens)
	if w.err != nil {
		return dst, w.err
	}
	return w.out, nil
}

const (
	// maxDepth is the deepest nesting that package protocol allows.
	maxDepth = 10_000

	// maxRepeated is how many bytes attachments may take that are there a second time.
	maxRepeated = 1 << 20
)

func (w *writer) packet(p protocol.Packet) {
	kind := p.Type
	if kind.Binary() {
		kind -= protocol.BinaryEvent - protocol.Event
	}
	namespace := "/"
	if len(p.Namespace) > 0 {
		namespace = string(p.Namespace)
	}
	members := 2
	if len(p.Data) > 0 {
		members++
	}
	if len(p.ID) > 0 {
		members++
	}
	w.keep(w.tokens.EncodeMapLen(members))
	w.keep(w.tokens.EncodeString("type"))
	w.keep(w.tokens.EncodeUint(uint64(kind)))
	w.keep(w.tokens.EncodeString("nsp"))
	w.keep(w.tokens.EncodeString(namespace))
	if len(p.Data) > 0 {
		w.keep(w.tokens.EncodeString("data"))
		w.value()
	}
	if len(p.ID) > 0 {
		n, err := strconv.ParseUint(string(p.ID), 10, 64)
		if err != nil {
			w.keep(fmt.Errorf("%w: id %q", protocol.ErrMalformed, p.ID))
		}
		w.keep(w.tokens.EncodeString("id"))
		w.keep(w.tokens.EncodeUint(n))
	}
}
