package socketio

import (
	"encoding/json"
	"net/http"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
)

// Handshake is what the client sent when its connection was made, and with its CONNECT packet (SOC-015, SOC-018). A client
// that comes back sends another.
type Handshake struct {
	Headers http.Header       // of the first HTTP request
	Query   map[string]string // of the first HTTP request; the last of a repeated parameter
	Auth    Auth              // payload of the CONNECT packet
	Address string            // of the client
	Secure  bool              // the connection is encrypted
	XDomain bool              // the request carried an Origin header
	URL     string            // of the request
	Time    time.Time         // when the connection was made
	Issued  int64             // the same in Unix milliseconds
}

// Auth is the payload of a CONNECT packet: a JSON object, or nothing. What it says nobody has checked but the auth service
// and the middlewares.
type Auth struct{ raw json.RawMessage }

// Get returns a member that is a string, and "" if it is missing or anything else.
func (a Auth) Get(key string) string {
	var members map[string]json.RawMessage
	var text string
	if a.Bind(&members) != nil || json.Unmarshal(members[key], &text) != nil {
		return ""
	}
	return text
}

// Bind decodes the whole object into target by the rules of encoding/json; without a payload it leaves target as it is.
func (a Auth) Bind(target any) error {
	if len(a.raw) == 0 {
		return nil
	}
	return json.Unmarshal(a.raw, target)
}

// JSON returns the object as it came, nil without a payload. It must not be changed.
func (a Auth) JSON() json.RawMessage { return a.raw }

func newHandshake(h *siomeshv1.Handshake) Handshake {
	headers := make(http.Header, len(h.GetHeaders()))
	for _, one := range h.GetHeaders() {
		key := http.CanonicalHeaderKey(one.GetName())
		headers[key] = append(headers[key], one.GetValues()...)
	}
	query := h.GetQuery()
	if query == nil {
		query = map[string]string{}
	}
	return Handshake{
		Headers: headers,
		Query:   query,
		Auth:    Auth{raw: h.GetAuth()},
		Address: h.GetAddress(),
		Secure:  h.GetSecure(),
		XDomain: h.GetXdomain(),
		URL:     h.GetUrl(),
		Time:    time.UnixMilli(h.GetIssuedMs()),
		Issued:  h.GetIssuedMs(),
	}
}
