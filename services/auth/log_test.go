package auth

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// TestLogKeepsSecrets: the socket id of a 2.x client tells its sid, so no id is logged.
func TestLogKeepsSecrets(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(bus.NewMemory(), mesh.Subjects{}, log, Config{Policies: policies(t, Keys{}, "*=allow")})
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	for _, request := range []string{
		`{"namespace":"/chat","socket":"/chat#secret","auth":{},"handshake":{"headers":{},"query":{}}}`,
		`{"namespace":"/chat","socket":"secret"`,
	} {
		s.connect([]byte(request))
	}
	if got := logged.String(); !strings.Contains(got, "auth verdict") || strings.Contains(got, "secret") {
		t.Errorf("logged %q, want the verdict without the socket id", got)
	}
}
