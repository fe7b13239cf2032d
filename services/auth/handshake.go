package auth

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// HandshakePolicy says who may open a session, at edges that ask. It is immutable; ParseHandshakePolicy makes it. The zero
// value lets everybody in, so that namespaces alone decide.
type HandshakePolicy struct {
	rule    rule   // without a policy it is allow
	warning string // for the log, at the start of the service
}

// ParseHandshakePolicy returns the policy of a name: allow, or tokens or jwt, which look for the token in the header
// "Authorization: Bearer …" of the handshake; "" is allow. Browsers cannot set that header on a WebSocket.
func ParseHandshakePolicy(name string, keys Keys) (HandshakePolicy, error) {
	if name == "" || name == "allow" {
		return HandshakePolicy{}, nil
	}
	made, warning, err := newPolicy(name, keys)
	if err != nil {
		return HandshakePolicy{}, fmt.Errorf("handshake policy %.40q: %w", name, err)
	}
	return HandshakePolicy{rule: rule{name: name, policy: made}, warning: warning}, nil
}

// decide returns the verdict on a handshake, the name of the policy that gave it, and its outcome.
func (p HandshakePolicy) decide(q *authn.HandshakeRequest, now time.Time) (*authn.HandshakeReply, string, outcome) {
	if p.rule.policy == nil {
		return &authn.HandshakeReply{Allow: true}, "allow", allowed
	}
	verdict, why := p.rule.decide(func() (string, outcome) { return bearer(q) }, now)
	return &authn.HandshakeReply{Allow: verdict.Allow, Message: verdict.Message}, p.rule.name, why
}

func (p HandshakePolicy) warn(log *slog.Logger) {
	if p.warning != "" {
		log.Warn("auth policy is weak", slog.String("reason", p.warning))
	}
}

// bearer returns the token in the Authorization header (RFC 6750 section 2.1), or the outcome of a refusal.
func bearer(q *authn.HandshakeRequest) (string, outcome) {
	values := q.Handshake.Headers["authorization"]
	if len(values) > 1 {
		return "", tokenInvalid
	}
	if len(values) == 0 {
		return "", tokenRequired
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", tokenRequired
	}
	return token, allowed
}
