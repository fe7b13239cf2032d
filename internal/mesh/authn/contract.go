// Package authn is the auth contract of the mesh as Go types: what an edge asks before a client may open a session or join a
// namespace, and what any auth service, the stock one or another in any language, answers. It decides nothing itself. Start
// at Ask for the asking side, at DecodeConnectRequest for the answering side; handshake.go is the same for sessions.
package authn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The contract is JSON on sio.v1.auth.connect, snake_case, unknown fields ignored:
//
//	→ {"namespace":"/chat","socket":"…","auth":{…},
//	   "handshake":{"headers":{"cookie":"…"},"query":{"EIO":"4"},"address":"","secure":false,"url":"","time":"RFC 3339"}}
//	← {"allow":true,"user":"u1","data":{},"rooms":[],"expires_at":"RFC 3339","limits":{"events_per_second":50}}
//	← {"allow":false,"message":"…","data":{}}

// ConnectRequest asks whether a client may join a namespace.
type ConnectRequest struct {
	Namespace string          `json:"namespace"`      // with its leading slash
	Socket    string          `json:"socket"`         // public socket id
	Auth      json.RawMessage `json:"auth,omitempty"` // payload of the CONNECT packet, a JSON object; absent if it had none
	Handshake Handshake       `json:"handshake"`
}

// Handshake is what is known of the HTTP request that opened the client's session.
type Handshake struct {
	Headers map[string]Values `json:"headers"` // by name in lower case
	Query   map[string]Values `json:"query"`   // by name
	Address string            `json:"address"` // of the client, as trusted proxies tell it
	Secure  bool              `json:"secure"`  // the connection is encrypted
	URL     string            `json:"url"`
	Time    time.Time         `json:"time"` // when the session was opened
}

// Values are those of one header or query parameter, in order. In JSON one value is a string, any other number of them an
// array of strings.
type Values []string

// MarshalJSON implements json.Marshaler.
func (v Values) MarshalJSON() ([]byte, error) {
	if len(v) == 1 {
		return json.Marshal(v[0])
	}
	return json.Marshal(append([]string{}, v...))
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Values) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*v = Values{""}
		return json.Unmarshal(data, &(*v)[0])
	}
	return json.Unmarshal(data, (*[]string)(v))
}

// ConnectReply is the verdict. With Allow, Message is empty; without, User, Rooms and ExpiresAt mean nothing.
type ConnectReply struct {
	Allow     bool            `json:"allow"`
	User      string          `json:"user,omitempty"`      // who it is; empty for nobody in particular
	Data      json.RawMessage `json:"data,omitempty"`      // allowed: the initial socket.data, a JSON object; refused: any JSON for the client
	Rooms     []string        `json:"rooms,omitempty"`     // the socket is in them from the start
	ExpiresAt time.Time       `json:"expires_at,omitzero"` // when the permission ends; zero for never
	Limits    *Limits         `json:"limits,omitempty"`    // of what the client may send; nil leaves it to the edge
	Message   string          `json:"message,omitempty"`   // refused: why, in words for the client
}

// ErrUnreadable says that a message is not of this contract.
var ErrUnreadable = errors.New("unreadable")

// maxMessage is the longest refusal in bytes that is passed on to a client.
const maxMessage = 1024

// DecodeConnectRequest reads a request. It fails with ErrUnreadable if the JSON is broken, a field has the wrong type or
// the namespace does not begin with a slash.
func DecodeConnectRequest(data []byte) (*ConnectRequest, error) {
	var q ConnectRequest
	if err := json.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("%w request: %w", ErrUnreadable, err)
	}
	if len(q.Namespace) == 0 || q.Namespace[0] != '/' {
		return nil, fmt.Errorf("%w request: namespace %.40q", ErrUnreadable, q.Namespace)
	}
	q.Auth = present(q.Auth)
	if q.Auth != nil && !isObject(q.Auth) {
		return nil, fmt.Errorf("%w request: auth is no object", ErrUnreadable)
	}
	return &q, nil
}

// DecodeConnectReply reads a verdict. It fails with ErrUnreadable if the JSON is broken, allow is missing, a field has the
// wrong type, the data of a permission is no object or its limits make no sense: doubt never allows.
func DecodeConnectReply(data []byte) (*ConnectReply, error) {
	var wire struct {
		Allow *bool `json:"allow"` // shadows that of reply
		reply
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, fmt.Errorf("%w reply: %w", ErrUnreadable, err)
	}
	if wire.Allow == nil {
		return nil, fmt.Errorf("%w reply: allow is missing", ErrUnreadable)
	}
	r := ConnectReply(wire.reply)
	r.Allow = *wire.Allow
	r.Data = present(r.Data)
	if !r.Allow {
		return &ConnectReply{Message: truncate(r.Message), Data: r.Data}, nil
	}
	if r.Data != nil && !isObject(r.Data) {
		return nil, fmt.Errorf("%w reply: data of a permission is no object", ErrUnreadable)
	}
	r.Message = ""
	return &r, nil
}

// reply is ConnectReply for embedding.
type reply ConnectReply

// present returns nil for JSON null, which means the same as an absent field.
func present(raw json.RawMessage) json.RawMessage {
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	return raw
}

// isObject reports whether valid JSON is an object; json.RawMessage begins with the value itself.
func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// truncate shortens a message at a character's boundary.
func truncate(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:maxMessage]), nil))
}
