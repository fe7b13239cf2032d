// Package protocol is the Socket.IO v5 packet codec in JSON: bytes in, values
// out. It checks a packet once and completely - header, JSON, event name,
// placeholder indexes - and gives back views of the text it was handed, so that
// whoever comes later may trust the bytes and pass them on. It builds no values
// from the JSON, reads from no connection, knows no clock, starts no goroutine
// and logs nothing. Start with Parse for one text packet, and with Decoder for
// what a client sends over a connection.
package protocol

// The wire, after the Engine.IO message type was taken off:
//
//	CONNECT        0[/nsp,][{…}]                    payload absent or an object
//	DISCONNECT     1[/nsp,]                         no payload
//	EVENT          2[/nsp,][id]["name",args…]       first item a string or a number
//	ACK            3[/nsp,]id[args…]                the id of the event it answers
//	CONNECT_ERROR  4[/nsp,]{…} | 4[/nsp,]"text"
//	BINARY_EVENT   5n-[/nsp,][id]["name",args…]     followed by n binary messages
//	BINARY_ACK     6n-[/nsp,]id[args…]              followed by n binary messages
//
// The comma behind a namespace may be left out where the packet ends. An
// attachment is named in the JSON by {"_placeholder":true,"num":i}, 0 <= i < n.
//
// Specification: https://socket.io/docs/v4/socket-io-protocol/

import "strconv"

// Type is the kind of a packet. Its value is the digit the packet begins with.
type Type byte

// The packet types of revision 5 of the protocol.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// String returns the name the protocol text gives to t, such as "BINARY_EVENT".
func (t Type) String() string {
	switch t {
	case Connect:
		return "CONNECT"
	case Disconnect:
		return "DISCONNECT"
	case Event:
		return "EVENT"
	case Ack:
		return "ACK"
	case ConnectError:
		return "CONNECT_ERROR"
	case BinaryEvent:
		return "BINARY_EVENT"
	case BinaryAck:
		return "BINARY_ACK"
	default:
		return "Type(" + strconv.Itoa(int(t)) + ")"
	}
}

// Binary reports whether packets of type t announce attachments.
func (t Type) Binary() bool { return t == BinaryEvent || t == BinaryAck }

func (t Type) event() bool { return t == Event || t == BinaryEvent }

func (t Type) ack() bool { return t == Ack || t == BinaryAck }

// Packet is one decoded Socket.IO packet. Every byte slice is a view of the text
// it was parsed from: it changes when that text does, and must not be written to.
type Packet struct {
	// Type says which of the other fields are set.
	Type Type
	// Namespace begins with "/"; it is "/" when the text has none. A query string
	// behind the name is kept: revision 5 gives it no meaning.
	Namespace []byte
	// ID is the acknowledgement id: the decimal digits exactly as written, of any
	// length, because the answer echoes them. Nil means none; an ack always has one.
	ID []byte
	// Attachments is the number of announced attachments; it is above zero for
	// BinaryEvent and BinaryAck, and zero for all others.
	Attachments int
	// Data is the JSON payload, validated and without white space around it; nil
	// means none.
	Data []byte
	// Event is the raw JSON of the first element of Data for Event and BinaryEvent:
	// a string with its quotes, or a number. Nil for all others.
	Event []byte
}

// rootNamespace is what packets without a namespace belong to; never written to.
var rootNamespace = []byte("/") //nolint:gochecknoglobals // immutable; a literal in Parse would allocate
