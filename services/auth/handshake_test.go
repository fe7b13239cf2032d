package auth

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func handshakePolicy(tb testing.TB, name string, keys Keys) HandshakePolicy {
	tb.Helper()
	p, err := ParseHandshakePolicy(name, keys)
	if err != nil {
		tb.Fatalf("parse %q: %v", name, err)
	}
	return p
}

func shake(authorization ...string) *authn.HandshakeRequest {
	q := &authn.HandshakeRequest{Handshake: authn.Handshake{Headers: map[string]authn.Values{}}}
	if authorization != nil {
		q.Handshake.Headers["authorization"] = authorization
	}
	return q
}

func TestHandshakePolicies(t *testing.T) {
	key := strings.Repeat("k", 32)
	keys := Keys{Tokens: list, JWTAlgorithm: "HS256", JWTKey: key}
	good := "Bearer " + sign(`{"alg":"HS256"}`, `{"sub":"ann"}`, hs256([]byte(key)))
	old := "Bearer " + sign(`{"alg":"HS256"}`, `{"exp":1}`, hs256([]byte(key)))
	for _, tt := range []struct {
		policy string
		q      *authn.HandshakeRequest
		want   outcome
	}{
		{"", shake(), allowed},
		{"allow", shake("Bearer nonsense"), allowed},
		{"tokens", shake("Bearer s3cret"), allowed},
		{"tokens", shake("bearer   s3cret "), allowed},
		{"tokens", shake("Bearer other"), tokenInvalid},
		{"tokens", shake(), tokenRequired},
		{"tokens", shake("Bearer"), tokenRequired},
		{"tokens", shake("Bearer "), tokenRequired},
		{"tokens", shake("Basic s3cret"), tokenRequired},
		{"tokens", shake("s3cret"), tokenRequired},
		{"tokens", shake("Bearer s3cret", "Bearer s3cret"), tokenInvalid},
		{"jwt", shake(good), allowed},
		{"jwt", shake(good + "x"), tokenInvalid},
		{"jwt", shake(old), tokenExpired},
		{"jwt", shake(), tokenRequired},
	} {
		got, name, why := handshakePolicy(t, tt.policy, keys).decide(tt.q, testTime())
		want := &authn.HandshakeReply{Allow: true}
		if tt.want != allowed {
			want = &authn.HandshakeReply{Message: refuse(tt.want).Message}
		}
		if why != tt.want || !reflect.DeepEqual(got, want) || name != max(tt.policy, "allow") {
			t.Errorf("%q, %q: got %+v by %s, %s, want %+v, %s",
				tt.policy, tt.q.Handshake.Headers["authorization"], got, name, why, want, tt.want)
		}
	}
}

func TestParseHandshakePolicy(t *testing.T) {
	for name, keys := range map[string]Keys{"maybe": {}, "jwt": {}, "tokens": {}, "*=allow": {}} {
		if _, err := ParseHandshakePolicy(name, keys); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
	var logged strings.Builder
	handshakePolicy(t, "jwt", Keys{JWTAlgorithm: "HS256", JWTKey: "short"}).warn(slog.New(slog.NewTextHandler(&logged, nil)))
	if !strings.Contains(logged.String(), "weak") || strings.Contains(logged.String(), "short\"") {
		t.Errorf("logged %q, want a warning without the key", logged.String())
	}
}

// TestServiceAnswersHandshakes: whatever is asked there, something is answered.
func TestServiceAnswersHandshakes(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	b := bus.NewMemory()
	serve(t, b, mesh.Subjects{}, Config{
		Policies: policies(t, Keys{}, "/only=allow"), Handshake: handshakePolicy(t, "tokens", Keys{Tokens: list}), Metrics: metrics,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for request, want := range map[string]string{
		`{"handshake":{"headers":{"authorization":"Bearer s3cret"}}}`: `{"allow":true}`,
		`{"handshake":{"headers":{"authorization":"Bearer x"}}}`:      `{"allow":false,"message":"invalid token"}`,
		`{"handshake":{"headers":{}}}`:                                `{"allow":false,"message":"token required"}`,
		`{"namespace":"/only"}`:                                       `{"allow":false,"message":"malformed request"}`,
		``:                                                            `{"allow":false,"message":"malformed request"}`,
	} {
		got, err := b.Request(ctx, "sio.v1.auth.handshake", []byte(request))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", request, got, err, want)
		}
	}
	want := map[string]float64{
		"handshake tokens allowed": 1, "handshake tokens token_invalid": 1, "handshake tokens token_required": 1,
		"handshake none malformed_request": 2,
	}
	if got := verdicts(t, registry); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("verdicts = %v, want %v", got, want)
	}
}
