package engine

import (
	"encoding/base64"
	"encoding/binary"
	"sync"

	"github.com/gobwas/ws"
)

// Message is one message to clients. It is immutable and may be sent to any number of
// sessions, from any number of goroutines: its encodings are built once and shared.
type Message struct {
	frame []byte // the whole WebSocket frame; for text its payload is the polling form too
	head  uint8  // length of the frame's header
	kind  packetType
	bin   bool

	once   sync.Once
	base64 []byte // polling form of a binary message, built by the first polling session
}

// NewText returns a text message. data must be UTF-8, which is not checked; it belongs
// to the Message from now on.
func NewText(data []byte) *Message { return newPacket(packetMessage, data) }

// NewBinary returns a binary message. data belongs to the Message from now on.
func NewBinary(data []byte) *Message {
	frame := appendFrameHeader(make([]byte, 0, ws.MaxHeaderSize+len(data)), ws.OpBinary, len(data))
	head := len(frame)
	return &Message{frame: append(frame, data...), head: uint8(head), kind: packetMessage, bin: true}
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

// pollingText returns the packet as it stands in a polling payload.
func (m *Message) pollingText() []byte {
	payload := m.frame[m.head:]
	if !m.bin {
		return payload
	}
	m.once.Do(func() {
		b := make([]byte, 1, 1+base64.StdEncoding.EncodedLen(len(payload)))
		b[0] = 'b'
		m.base64 = base64.StdEncoding.AppendEncode(b, payload)
	})
	return m.base64
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
