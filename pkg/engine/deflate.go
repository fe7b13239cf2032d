package engine

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// permessage-deflate (RFC 7692) on one connection. Neither side keeps a context from one
// message to the next, which switching.go has agreed on with the client.

// frame returns the whole frame of m for this connection.
func (c *wsConn) frame(m *Message) []byte {
	if c.frames.deflate && !m.plain && len(m.payload()) >= c.srv.cfg.PerMessageDeflateThreshold && (!m.bin || c.dialect == dialect{}) {
		if frame := m.compressed(c.srv.zip).frame; frame != nil { // in place of the ready one (WS-013)
			return frame
		}
	}
	return c.dialect.frame(m)
}

// deliverCompressed hands a compressed message to the owner.
func (c *wsConn) deliverCompressed(owner connOwner, f frame) verdict {
	buf := c.srv.bufs.get()
	defer c.srv.bufs.put(buf)
	payload, err := c.srv.zip.inflate((*buf)[:0], f.payload, c.frames.limit)
	if err == nil && f.op == ws.OpText && !utf8.Valid(payload) {
		err = errNotUTF8
	}
	if err != nil {
		c.violated(owner, err)
		return receiveStop
	}
	f.payload = payload
	return owner.receive(f)
}

// compressed returns the compressed frame of m, made by whoever needs it first.
func (m *Message) compressed(z *compressor) *encoding {
	e := &m.more().deflated
	e.once.Do(func() {
		data, err := z.message(nil, m.payload())
		if err != nil || len(data) >= len(m.payload()) {
			return // it goes out as it is
		}
		op := ws.OpText
		if m.bin {
			op = ws.OpBinary
		}
		e.build(op, len(data))
		e.frame[0] |= rsv1 << 4
		e.frame = append(e.frame, data...)
	})
	return e
}
