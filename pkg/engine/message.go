package engine

import (
	"encoding/base64"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// Message is one message to clients. It is immutable and may be sent to any number of
// sessions, from any number of goroutines: its encodings are built once and shared.
type Message struct {
	frame []byte // the whole WebSocket frame; for text its payload is the polling form too
	head  uint8  // length of the frame's header
	kind  packetType
	bin   bool
	plain bool // never to be compressed

	units atomic.Uint32         // length of a text packet in UTF-16 code units; 0 = not counted yet
	forms atomic.Pointer[forms] // nil until the first is wanted
}

// forms are those encodings of a message that not every session needs. Each is built
// by the first that does.
type forms struct {
	base64   encoding // as text
	base64V3 encoding // the same for protocol 3
	typed    encoding // as binary for protocol 3
	deflated encoding // compressed; empty if that is no shorter
	gzip     encoding // a whole polling payload, compressed; no frame
	zlib     encoding // the same in the coding deflate
}

// encoding is one of them.
type encoding struct {
	once  sync.Once
	frame []byte // a whole WebSocket frame; that of text has the polling form as its payload
	head  uint8  // length of the frame's header
}

// build begins the frame, whose payload has n bytes.
func (e *encoding) build(op ws.OpCode, n int) {
	e.frame = appendFrameHeader(make([]byte, 0, ws.MaxHeaderSize+n), op, n)
	e.head = uint8(len(e.frame))
}

func (e *encoding) payload() []byte { return e.frame[e.head:] }

// NewText returns a text message. data must be UTF-8, which is not checked; it belongs
// to the Message from now on.
func NewText(data []byte) *Message { return newPacket(packetMessage, data) }

// NewBinary returns a binary message. data belongs to the Message from now on.
func NewBinary(data []byte) *Message {
	frame := appendFrameHeader(make([]byte, 0, ws.MaxHeaderSize+len(data)), ws.OpBinary, len(data))
	head := len(frame)
	return &Message{frame: append(frame, data...), head: uint8(head), kind: packetMessage, bin: true}
}

// NoCompress makes m one that is never compressed, say because its data is already, and
// returns it (compress false, POL-030). It is to be called before m is sent.
func (m *Message) NoCompress() *Message {
	m.plain = true
	return m
}

// newPacket returns a packet in text form, ready to be sent like a message.
func newPacket(kind packetType, data []byte) *Message {
	frame := appendFrameHeader(make([]byte, 0, ws.MaxHeaderSize+1+len(data)), ws.OpText, 1+len(data))
	head := len(frame)
	frame = append(frame, '0'+byte(kind))
	return &Message{frame: append(frame, data...), head: uint8(head), kind: kind}
}

// Len returns the number of bytes the message occupies in an outbound queue.
func (m *Message) Len() int { return len(m.frame) }

// payload returns what is in the frame.
func (m *Message) payload() []byte { return m.frame[m.head:] }

// pollingText returns the packet as it stands in a polling payload of protocol 4.
func (m *Message) pollingText() []byte {
	if !m.bin {
		return m.payload()
	}
	return m.asText(dialect{}).payload()
}

// asText returns a binary message as text.
func (m *Message) asText(d dialect) *encoding {
	e, prefix := &m.more().base64, "b"
	if d.v3 {
		e, prefix = &m.more().base64V3, string([]byte{'b', '0' + byte(m.kind)})
	}
	e.once.Do(func() {
		e.build(ws.OpText, len(prefix)+base64.StdEncoding.EncodedLen(len(m.payload())))
		e.frame = append(e.frame, prefix...)
		e.frame = base64.StdEncoding.AppendEncode(e.frame, m.payload())
	})
	return e
}

// more returns the place of further encodings.
func (m *Message) more() *forms {
	if f := m.forms.Load(); f != nil {
		return f
	}
	m.forms.CompareAndSwap(nil, &forms{}) // or somebody else has done it
	return m.forms.Load()
}

// appendFrameHeader appends the header of an unfragmented server frame with n bytes of payload.
func appendFrameHeader(b []byte, op ws.OpCode, n int) []byte {
	b = append(b, 0x80|byte(op))
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
}

// sizeOf returns the queue bytes of msgs.
func sizeOf(msgs []*Message) int {
	n := 0
	for _, m := range msgs {
		n += m.Len()
	}
	return n
}
