package edge

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"

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

// messagesOf encodes an event or acknowledgement for clients: one text message and one for each attachment. The slice is
// valid until the next call; like its caller this runs on the reader goroutine of the links.
func (s *Service) messagesOf(t protocol.Type, flags wire.Flags, namespace, id []byte, p wire.Packet) []*engine.Message {
	t = binaryForm(t, len(p.Attachments))
	text := make([]byte, 0, len(p.JSON)+len(namespace)+len(id)+8)
	text = protocol.Append(text, protocol.Packet{
		Type: t, Namespace: namespace, ID: id, Attachments: len(p.Attachments), Data: p.JSON,
	})
	clear(s.messages)
	s.messages = append(s.messages[:0], engine.NewText(text))
	for _, a := range p.Attachments {
		s.messages = append(s.messages, engine.NewBinary(append([]byte(nil), a...)))
	}
	if flags&wire.FlagNoCompress != 0 {
		for _, m := range s.messages {
			m.NoCompress()
		}
	}
	return s.messages
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

// encodeRefusal returns the payload of a CONNECT_ERROR packet. Data that is no JSON is left out.
func encodeRefusal(r *refusal) []byte {
	data, err := json.Marshal(r)
	if err != nil {
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
