package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// The contract is JSON on sio.v1.auth.handshake, asked only by edges that are configured to:
//
//	→ {"handshake":{"headers":{"cookie":"…"},"query":{"EIO":"4"},"address":"","secure":false,"url":"","time":"RFC 3339"}}
//	← {"allow":true,"headers":{"set-cookie":["a=1","b=2"],"x-region":"eu"}}
//	← {"allow":false,"message":"…"}

// HandshakeRequest asks whether a client may open a session.
type HandshakeRequest struct {
	Handshake Handshake `json:"handshake"`
}

// HandshakeReply is the verdict. With Allow, Message is empty; without, Headers mean nothing.
type HandshakeReply struct {
	Allow   bool              `json:"allow"`
	Headers map[string]Values `json:"headers,omitempty"` // for the response to the handshake
	Message string            `json:"message,omitempty"` // refused: why, in words for the client
}

// maxHeaders is how many bytes the headers of a verdict may have, names and values together: clients take 16 KiB of headers.
const maxHeaders = 8 << 10

// AskHandshake is Ask for the opening of a session. Nothing is held here: the caller refuses the handshake whatever the error.
func AskHandshake(ctx context.Context, b bus.Bus, s mesh.Subjects, req *HandshakeRequest) (*HandshakeReply, error) {
	answer, err := ask(ctx, b, s.AuthHandshake(), req)
	if err != nil {
		return nil, err
	}
	return DecodeHandshakeReply(answer)
}

// DecodeHandshakeRequest reads a request. It fails with ErrUnreadable if the JSON is broken, a field has the wrong type or
// there is no handshake.
func DecodeHandshakeRequest(data []byte) (*HandshakeRequest, error) {
	var wire struct {
		Handshake *Handshake `json:"handshake"`
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, fmt.Errorf("%w request: %w", ErrUnreadable, err)
	}
	if wire.Handshake == nil {
		return nil, fmt.Errorf("%w request: handshake is missing", ErrUnreadable)
	}
	return &HandshakeRequest{Handshake: *wire.Handshake}, nil
}

// DecodeHandshakeReply reads a verdict. It fails with ErrUnreadable if the JSON is broken, allow is missing, a field has the
// wrong type, or a permission has a header that cannot be sent or is the server's own: doubt never allows.
func DecodeHandshakeReply(data []byte) (*HandshakeReply, error) {
	var wire struct {
		Allow *bool `json:"allow"` // shadows that of handshakeReply
		handshakeReply
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, fmt.Errorf("%w reply: %w", ErrUnreadable, err)
	}
	if wire.Allow == nil {
		return nil, fmt.Errorf("%w reply: allow is missing", ErrUnreadable)
	}
	if !*wire.Allow {
		return &HandshakeReply{Message: truncate(wire.Message)}, nil
	}
	if err := checkHeaders(wire.Headers); err != nil {
		return nil, fmt.Errorf("%w reply: %w", ErrUnreadable, err)
	}
	return &HandshakeReply{Allow: true, Headers: wire.Headers}, nil
}

// handshakeReply is HandshakeReply for embedding.
type handshakeReply HandshakeReply

// checkHeaders says which header cannot be put into a response, if one cannot. Values may be secrets and are not shown.
func checkHeaders(headers map[string]Values) error {
	size, seen := 0, make(map[string]bool, len(headers))
	for name, values := range headers {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("%.40q is no header", name)
		case isServers(key):
			return fmt.Errorf("header %.40q is the server's", name)
		case seen[key]:
			return fmt.Errorf("header %.40q comes twice", name)
		}
		seen[key] = true
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("the value of header %.40q cannot be sent", name)
			}
			size += len(name) + len(v)
		}
	}
	if size > maxHeaders {
		return fmt.Errorf("%d bytes of headers are more than %d", size, maxHeaders)
	}
	return nil
}

// isServers reports whether the server itself sets a header, or the connection depends on it. The name is canonical.
func isServers(name string) bool {
	switch name {
	case "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Keep-Alive",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Sec-Websocket-") || strings.HasPrefix(name, "Access-Control-")
}
