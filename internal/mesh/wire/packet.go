package wire

// Packet is a Socket.IO event or acknowledgement with its binary attachments, between an app and an edge.
//
//	attachments uvarint | length uvarint, bytes … | the rest: JSON array, for events with the name first, placeholders in place
type Packet struct {
	JSON        []byte
	Attachments [][]byte
}
