package engine

import (
	"encoding/base64"
	"fmt"
)

// A packet in its text form is one type digit and data:
//
//	0 open     server → client   {"sid":…}
//	1 close    both
//	2 ping     server → client   (client → server only as 2probe; protocol 3: the ping)
//	3 pong     client → server   (server → client only as 3probe; protocol 3: the pong)
//	4 message  both              data
//	5 upgrade  client → server
//	6 noop     server → client
//
// A binary message has no digit: over WebSocket it is a binary frame, in a polling
// payload it is "b" followed by standard base64. Protocol 3 is told in v3.go.
type packetType byte

const (
	packetOpen packetType = iota
	packetClose
	packetPing
	packetPong
	packetMessage
	packetUpgrade
	packetNoop
	packetTypes // how many there are
)

func (t packetType) String() string {
	names := [...]string{"open", "close", "ping", "pong", "message", "upgrade", "noop"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("packetType(%d)", byte(t))
}

// packet is one decoded packet; data belongs to the buffer it was decoded from.
type packet struct {
	kind   packetType
	binary bool
	data   []byte
}

// parseText decodes the text form of a packet, as it stands in a text frame. The
// caller has checked that b is UTF-8. An empty packet and an unknown type are
// errMalformed (EPA-002).
func parseText(b []byte) (packet, error) {
	if len(b) == 0 {
		return packet{}, fmt.Errorf("%w: empty", errMalformed)
	}
	kind := packetType(b[0] - '0')
	if kind >= packetTypes {
		return packet{}, fmt.Errorf("%w: unknown type %q", errMalformed, b[0])
	}
	return packet{kind: kind, data: b[1:]}, nil
}

// parsePolling decodes one packet of a polling payload of protocol 4.
func parsePolling(b []byte) (packet, error) { return dialect{}.parsePolling(b) }

// decodeBase64 decodes into new memory.
func decodeBase64(b []byte) ([]byte, error) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Decode(data, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return data[:n], nil
}
