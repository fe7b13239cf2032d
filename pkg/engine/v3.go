package engine

import (
	"fmt"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// dialect is how the packets of one transport are written. Protocol 3 is that of Socket.IO
// 2.x clients (spec 1.13); it differs in the polling payload (v3payload.go), in who pings
// (v3heartbeat.go), and in that binary data always has its packet type in front:
//
//	                  protocol 4          protocol 3
//	text frame        type data           type data
//	binary frame      data                type(byte) data
//	as text           "b" base64          "b" type base64
type dialect struct {
	v3     bool // protocol 3, else 4
	base64 bool // the client takes no binary data but as text
}

// dialectOf returns the dialect that the query of a transport's first request asks for. All
// that is not protocol 4 counts as 3 (V3-010).
func dialectOf(query url.Values) dialect {
	return dialect{v3: query.Get("EIO") != "4", base64: query.Get("b64") != ""}
}

// openDelayV3 lies between the 101 and the open packet of protocol 3. A client that begins to
// listen only when its WebSocket has opened, as the official suite does, loses what comes
// with the 101 in one read; from the reference the packet comes later by itself. The suite
// of protocol 4 does not depend on that.
const openDelayV3 = 10 * time.Millisecond

// waitOpened waits until the client has probably seen that its WebSocket is open.
func (d dialect) waitOpened() {
	if d.v3 {
		<-time.After(openDelayV3)
	}
}

// protocol returns the revision of the protocol.
func (d dialect) protocol() int {
	if d.v3 {
		return 3
	}
	return 4
}

// frame returns the whole WebSocket frame of m.
func (d dialect) frame(m *Message) []byte {
	switch {
	case !m.bin:
		return m.frame
	case d.base64:
		return m.asText(d).frame
	case d.v3:
		return m.typed().frame
	default:
		return m.frame
	}
}

// parseText decodes a text packet of either transport. The caller has checked that b is UTF-8.
func (d dialect) parseText(b []byte) (packet, error) {
	if len(b) == 0 || b[0] != 'b' {
		return parseText(b)
	}
	b = b[1:]
	kind := packetMessage
	if d.v3 {
		p, err := parseText(b)
		if err != nil {
			return packet{}, err
		}
		kind, b = p.kind, p.data
	}
	data, err := decodeBase64(b)
	return packet{kind: kind, binary: true, data: data}, err
}

// parseBinary decodes a binary packet.
func (d dialect) parseBinary(b []byte) (packet, error) {
	if !d.v3 {
		return packet{kind: packetMessage, binary: true, data: b}, nil
	}
	if len(b) == 0 {
		return packet{}, fmt.Errorf("%w: empty", errMalformed)
	}
	if packetType(b[0]) >= packetTypes {
		return packet{}, fmt.Errorf("%w: unknown type %d", errMalformed, b[0])
	}
	return packet{kind: packetType(b[0]), binary: true, data: b[1:]}, nil
}

// parsePolling decodes a text packet of a polling payload.
func (d dialect) parsePolling(b []byte) (packet, error) {
	if !utf8.Valid(b) {
		return packet{}, fmt.Errorf("%w: not UTF-8", errMalformed)
	}
	return d.parseText(b)
}

// typed returns the binary frame of a binary message with its type in front.
func (m *Message) typed() *encoding {
	e := &m.more().typed
	e.once.Do(func() {
		e.build(ws.OpBinary, 1+len(m.payload()))
		e.frame = append(e.frame, byte(m.kind))
		e.frame = append(e.frame, m.payload()...)
	})
	return e
}
