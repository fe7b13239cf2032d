package edge

import (
	"bytes"
	"encoding/json"
	"net/url"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// Socket.IO 2.x clients speak protocol 3 of Engine.IO; what differs in their packets:
//
//	(nothing)                  every client is in "/" without asking       V3-014
//	0/nsp[?query],             CONNECT: its query is the auth payload      V3-012
//	0[/nsp,]                   the answer has no data: the client knows    V3-011, V3-014
//	                           its socket id, sid or /nsp#sid
//	4[/nsp,]"text" | …         CONNECT_ERROR: the refusal's data if it     V3-014
//	                           has any, else its message
//
// Specification: https://github.com/socketio/socket.io-protocol/tree/v4

// noAuth is the auth payload of a client that sent none.
const noAuth = "{}"

// isV2 reports whether the client is one of Socket.IO 2.x.
func (c *conn) isV2() bool { return c.session.Protocol() == 3 }

// enter joins "/" for a client of 2.x, which never asks for it; it is called once, before the session is open.
func (c *conn) enter() {
	c.mu.Lock()
	c.connect(&c.batch, protocol.Packet{Type: protocol.Connect, Namespace: []byte("/"), Data: []byte(noAuth)})
	c.mu.Unlock()
	c.batch.Flush()
}

// fromV2 turns a packet of a 2.x client into what a later one would have sent: without a query behind the namespace, which
// of a CONNECT becomes the auth payload, an object of strings.
func fromV2(p protocol.Packet) protocol.Packet {
	namespace, query, _ := bytes.Cut(p.Namespace, []byte("?"))
	p.Namespace = namespace
	if p.Type == protocol.Connect {
		p.Data = authOfQuery(string(query))
	}
	return p
}

// authOfQuery returns a query as a JSON object; of a name that comes twice the last value counts, and what cannot be read
// is left out.
func authOfQuery(query string) []byte {
	values, _ := url.ParseQuery(query) // what it could read is there in spite of an error
	auth := make(map[string]string, len(values))
	for name, all := range values {
		auth[name] = all[len(all)-1]
	}
	data, err := json.Marshal(auth)
	if err != nil { // cannot be: they are strings
		return []byte(noAuth)
	}
	return data
}

// socketID returns the id of a new socket. A client of 2.x is not told its id but derives it from its sid, so whoever is
// shown the socket id could take the session over: see Config.AllowEIO3.
func (c *conn) socketID(namespace []byte) string {
	switch {
	case !c.isV2():
		return newSocketID()
	case string(namespace) == "/":
		return string(c.session.ID())
	default:
		return string(namespace) + "#" + string(c.session.ID())
	}
}

// accepted returns the payload of the packet that tells the client it is in the namespace.
func (sk *socket) accepted() []byte {
	if sk.conn.isV2() {
		return nil
	}
	return []byte(`{"sid":"` + sk.id + `"}`)
}

// refusal returns the payload of the packet that tells the client it may not join.
func (c *conn) refusal(r *refusal) []byte {
	if !c.isV2() {
		return encodeRefusal(r)
	}
	switch string(r.Data) {
	case "", "null", "false", "0", `""`: // what the reference takes for no data
	default:
		if data, err := json.Marshal(r.Data); err == nil { // else it is no JSON
			return data
		}
	}
	data, _ := json.Marshal(r.Message) // a string is always encodable
	return data
}
