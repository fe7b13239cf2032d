package edge

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"unicode/utf8"

	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// The disconnect reasons that an edge gives itself, by the reference server's names.
const (
	reasonClientDisconnect = "client namespace disconnect"
	reasonServerDisconnect = "server namespace disconnect"
	reasonForcedClose      = "forced close"
	reasonShutdown         = "server shutting down"
)

// binaryForm returns the type of an event or acknowledgement with so many attachments.
func binaryForm(t protocol.Type, attachments int) protocol.Type {
	if attachments > 0 && (t == protocol.Event || t == protocol.Ack) {
		t += protocol.BinaryEvent - protocol.Event
	}
	return t
}

// outgoing is a packet ready to be sent to any number of clients.
type outgoing struct {
	kind     protocol.Type
	messages []*engine.Message
}

// outgoing encodes an event or acknowledgement. It is valid until the next call; like its caller this runs on the reader
// goroutine of the links. An error is errUnreadable.
func (s *Service) outgoing(t protocol.Type, flags wire.Flags, namespace, id []byte, p wire.Packet) (outgoing, error) {
	t = binaryForm(t, len(p.Attachments))
	clear(s.messages)
	var err error
	s.messages, err = s.parser.messages(s.messages[:0], protocol.Packet{
		Type: t, Namespace: namespace, ID: id, Attachments: len(p.Attachments), Data: p.JSON,
	}, p.Attachments)
	if err != nil {
		return outgoing{}, fmt.Errorf("packet: %w: %w", errUnreadable, err)
	}
	if flags&wire.FlagNoCompress != 0 {
		for _, m := range s.messages {
			m.NoCompress()
		}
	}
	return outgoing{t, s.messages}, nil
}

// message encodes a packet that the edge itself made, without attachments.
func (s *Service) message(p protocol.Packet) *engine.Message {
	messages, err := s.parser.messages(nil, p, nil)
	if err != nil { // a refusal whose data is nested ten thousand deep, at most
		s.log.Error("packet sent without its payload", slog.String("type", p.Type.String()), slog.Any("err", err))
		p.Data, p.ID = nil, nil
		return s.message(p)
	}
	return messages[0]
}

// encode returns a packet as a record's body, which release takes back.
func (s *Service) encode(p wire.Packet) *[]byte {
	buf, _ := s.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	*buf = wire.AppendPacket((*buf)[:0], p)
	return buf
}

func (s *Service) release(buf *[]byte) {
	if cap(*buf) <= maxPooled {
		s.buffers.Put(buf)
	}
}

// maxPooled is the largest buffer that is kept for the next packet.
const maxPooled = 64 << 10

// encodeRefusal returns the payload of a CONNECT_ERROR packet. Data that is no JSON in UTF-8 is left out.
func encodeRefusal(r *refusal) []byte {
	data, err := json.Marshal(r)
	if err != nil || !utf8.Valid(data) {
		data, _ = json.Marshal(&refusal{Message: r.Message}) // a string is always encodable
	}
	return data
}

// newSocketID returns a public socket id: 20 characters of URL-safe base64, as the reference's, from 120 random bits.
func newSocketID() string {
	var random [15]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}
