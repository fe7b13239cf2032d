package edge

import (
	"fmt"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// The parsers, for Config.PacketParser. All clients of an edge use the same, and so do all edges behind one address: a client
// cannot tell which of them it meets. Inside the mesh packets are the same whichever parser their client has.
const (
	ParserJSON    = "json"    // the one that clients have unless told otherwise
	ParserMsgpack = "msgpack" // the npm package socket.io-msgpack-parser 3
)

// parser turns packets into messages, and gives each client what does the reverse (PAR-031).
type parser interface {
	decoder() decoder
	// messages appends the messages of a packet to dst; its Attachments is the number of attachments. An error says that the
	// payload is not JSON.
	messages(dst []*engine.Message, p protocol.Packet, attachments [][]byte) ([]*engine.Message, error)
}

// decoder puts the packets of one client together; protocol.Decoder says what its methods do.
type decoder interface {
	Text(text []byte) (p protocol.Packet, complete bool, err error)
	Binary(data []byte) (p protocol.Packet, attachments [][]byte, complete bool, err error)
}

// parser returns the one that the configuration names.
func (c Config) parser() (parser, error) {
	switch c.PacketParser {
	case ParserJSON:
		return jsonParser{c.Parser}, nil
	case ParserMsgpack:
		if c.AllowEIO3 {
			return nil, fmt.Errorf("parser %s is for clients of Socket.IO 4: not together with those of 2.x", ParserMsgpack)
		}
		return msgpackParser{c.Parser}, nil
	default:
		return nil, fmt.Errorf("parser %q: want %s or %s", c.PacketParser, ParserJSON, ParserMsgpack)
	}
}

// jsonParser sends text, and each attachment as a binary message behind it.
type jsonParser struct{ limits protocol.Limits }

func (j jsonParser) decoder() decoder { return protocol.NewDecoder(j.limits) }

func (j jsonParser) messages(dst []*engine.Message, p protocol.Packet, attachments [][]byte) ([]*engine.Message, error) {
	text := make([]byte, 0, len(p.Data)+len(p.Namespace)+len(p.ID)+8)
	dst = append(dst, engine.NewText(protocol.Append(text, p)))
	for _, a := range attachments {
		dst = append(dst, engine.NewBinary(append([]byte(nil), a...)))
	}
	return dst, nil
}

// msgpackParser sends one binary message.
type msgpackParser struct{ limits protocol.Limits }

func (m msgpackParser) decoder() decoder { return msgpack.NewDecoder(m.limits) }

func (m msgpackParser) messages(dst []*engine.Message, p protocol.Packet, attachments [][]byte) ([]*engine.Message, error) {
	size := len(p.Data) + len(p.Namespace) + len(p.ID) + 32
	for _, a := range attachments {
		size += len(a)
	}
	data, err := msgpack.Append(make([]byte, 0, size), p, attachments)
	if err != nil {
		return dst, fmt.Errorf("encode: %w", err)
	}
	return append(dst, engine.NewBinary(data)), nil
}
