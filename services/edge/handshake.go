package edge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/pkg/engine"
)

// generateID makes the sid: this edge's instance id, so that any edge can tell whose session it is, and a secret: 20
// characters with 120 random bits, unless the program makes its own.
func (s *Service) generateID(r *http.Request) (engine.SessionID, error) {
	if s.cfg.GenerateID == nil {
		return engine.SessionID(s.self.Instance.String() + newSocketID()), nil
	}
	secret, err := s.cfg.GenerateID(r)
	if err == nil {
		err = checkSecret(secret)
	}
	if err != nil {
		return "", err
	}
	return engine.SessionID(s.self.Instance.String() + secret), nil
}

// The length of a sid's secret part: 16 characters of base64 can hold 96 random bits.
const minSecret, maxSecret = 16, 64

// checkSecret says what is wrong with a secret part, without showing it.
func checkSecret(secret string) error {
	if len(secret) < minSecret || len(secret) > maxSecret {
		return fmt.Errorf("generated id has %d characters, want %d to %d", len(secret), minSecret, maxSecret)
	}
	for i := range len(secret) {
		switch c := secret[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return errors.New("generated id has a character that is none of A-Z a-z 0-9 _ -")
		}
	}
	return nil
}

// handshake keeps what apps and auth may want to know of the first request.
func (s *Service) handshake(r *http.Request) *siomeshv1.Handshake {
	h := &siomeshv1.Handshake{
		Query:    map[string]string{},
		Address:  s.clientAddress(r),
		Secure:   s.secure(r),
		Xdomain:  r.Header.Get("Origin") != "",
		Url:      toText(r.URL.RequestURI()),
		IssuedMs: time.Now().UnixMilli(),
	}
	h.Headers = append(h.Headers, &siomeshv1.Handshake_Header{Name: "host", Values: []string{toText(r.Host)}})
	for name, values := range r.Header {
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = toText(v)
		}
		h.Headers = append(h.Headers, &siomeshv1.Handshake_Header{Name: strings.ToLower(name), Values: texts})
	}
	slices.SortFunc(h.Headers, func(a, b *siomeshv1.Handshake_Header) int { return strings.Compare(a.Name, b.Name) })
	for name, values := range r.URL.Query() {
		h.Query[toText(name)] = toText(values[len(values)-1])
	}
	return h
}

// toText makes UTF-8 of what a client wrote, since JSON and protobuf carry nothing else.
func toText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// authRequest is the question to the auth service about a socket.
func authRequest(sk *socket) (*authn.ConnectRequest, error) {
	var h siomeshv1.Handshake
	if err := proto.Unmarshal(sk.conn.handshake, &h); err != nil {
		return nil, fmt.Errorf("decode handshake: %w", err)
	}
	return &authn.ConnectRequest{
		Namespace: string(sk.namespace), Socket: sk.id, Auth: sk.auth, Handshake: toAuth(&h),
	}, nil
}

// toAuth returns a handshake as the auth service sees it.
func toAuth(h *siomeshv1.Handshake) authn.Handshake {
	a := authn.Handshake{
		Headers: make(map[string]authn.Values, len(h.GetHeaders())),
		Query:   make(map[string]authn.Values, len(h.GetQuery())),
		Address: h.GetAddress(), Secure: h.GetSecure(), URL: h.GetUrl(), Time: time.UnixMilli(h.GetIssuedMs()).UTC(),
	}
	for _, header := range h.GetHeaders() {
		a.Headers[header.GetName()] = header.GetValues()
	}
	for name, value := range h.GetQuery() {
		a.Query[name] = authn.Values{value}
	}
	return a
}

// clientAddress is the client's IP address: the peer's, or behind trusted proxies the last one in X-Forwarded-For that is
// not a trusted proxy itself.
func (s *Service) clientAddress(r *http.Request) string {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	if !s.trusts(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if peer = addr.Unmap().String(); !s.trusts(peer) {
			break
		}
	}
	return peer
}

// parseHop reads an address of X-Forwarded-For; some proxies tell the port too.
func parseHop(text string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")) //nolint:wrapcheck // only whether
}

// secure reports whether the client's connection is encrypted, as far as this edge or a trusted proxy knows: of several
// values the first is the one of the proxy that the client reached.
func (s *Service) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return err == nil && s.trusts(peer) && strings.EqualFold(strings.TrimSpace(scheme), "https")
}

func (s *Service) trusts(address string) bool {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}
