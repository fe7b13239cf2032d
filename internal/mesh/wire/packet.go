package wire

import "encoding/binary"

// Packet is a Socket.IO event or acknowledgement with its binary attachments, between an app and an edge.
//
//	attachments uvarint | length uvarint, bytes … | the rest: JSON array, for events with the name first, placeholders in place
type Packet struct {
	JSON        []byte
	Attachments [][]byte
}

// AppendPacket appends the encoded packet to dst. It must end the body: the JSON has no length.
func AppendPacket(dst []byte, p Packet) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.Attachments)))
	for _, a := range p.Attachments {
		dst = appendBlock(dst, a)
	}
	return append(dst, p.JSON...)
}

// ParsePacket reads the packet that fills body. Its byte slices are views of body; reuse, emptied, becomes Attachments if
// its capacity is enough. The JSON is not looked into, but there must be some.
func ParsePacket(body []byte, reuse [][]byte) (Packet, error) {
	count, rest, ok := uvarint(body)
	if !ok || count > uint64(len(rest)) {
		return Packet{}, malformed("packet attachments")
	}
	attachments := reuse[:0]
	for range count {
		var a []byte
		if a, rest, ok = block(rest); !ok {
			return Packet{}, malformed("packet attachment")
		}
		attachments = append(attachments, a)
	}
	if len(rest) == 0 {
		return Packet{}, malformed("packet without JSON")
	}
	return Packet{JSON: rest, Attachments: attachments}, nil
}
