// Package msgpack is the other codec of Socket.IO v5 packets: what the npm package
// socket.io-msgpack-parser 3 writes and reads. A packet is one binary message that
// holds a map; the bytes of binary arguments stand where they belong, so there are
// no attachments to wait for. Outside of this package a packet is what it is for
// package protocol: its payload is JSON, with a placeholder for each attachment.
// This package turns the one into the other token by token and builds no values.
// It is as strict as package protocol, reads from no connection, knows no clock,
// starts no goroutine and logs nothing. Start with Decoder for what a client sends
// and with Append for what it is sent.
package msgpack

// The wire: one map, its keys in any order.
//
//	"type"  integer 0 to 4   CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR
//	"nsp"   string           the namespace, always there
//	"data"  CONNECT map or absent, DISCONNECT absent, CONNECT_ERROR map or string,
//	        EVENT ["name", args…], ACK [args…]
//	"id"    integer or absent
//	others  clients say {"options":{"compress":true}} in events: checked, and ignored
//
// The values of msgpack, and the JSON they become:
//
//	nil, booleans            as they are
//	integers of 64 bits      digits, exactly
//	floats                   the shortest digits that are read as the same; null for NaN and infinities
//	strings                  UTF-8, else refused
//	arrays, maps             in their order; the keys of a map are strings
//	bin                      {"_placeholder":true,"num":n} and an attachment
//	d4 00 ??                 undefined: absent in a map, null in an array
//	d7 00, 64-bit integer    a Date, milliseconds since 1970: its ISO text, null if it is invalid
//	c7, c8, c9 with type 00  the bytes of an ArrayBuffer or typed array: as bin
//	any ext of type ff       a timestamp, which other encoders write: as a Date
//	any other ext            refused
//
// Specification: https://github.com/msgpack/msgpack/blob/master/spec.md; undefined,
// Date and ArrayBuffer are those of notepack.io 2, which the npm package stands on.
