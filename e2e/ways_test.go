package e2e_test

import (
	"context"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestWaysToStart: stock clients reach a mesh that is a handler in a program of somebody else, by HTTPS, at another path, and
// behind a prefix. The ways that raw clients can tell as well are in pkg/siomesh.
func TestWaysToStart(t *testing.T) {
	needNode(t)
	plain, deeper := startMesh(t, ""), startMesh(t, "/app/socket.io")
	for _, w := range []struct {
		name      string
		handler   http.Handler
		path      string
		encrypted bool
	}{
		{"HTTPS", plain, "/socket.io", true},
		{"a path with a slash at its end", deeper, "/app/socket.io/", false},
		{"HTTPS and a prefix, stripped in the server", http.StripPrefix("/app", plain), "/app/socket.io", true},
		{"a prefix that a proxy strips", proxy(t, plain, "/app"), "/app/socket.io", false},
		{"a prefix that a proxy keeps", proxy(t, deeper, ""), "/app/socket.io", false},
	} {
		t.Run(w.name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle(strings.TrimSuffix(w.path, "/")+"/", w.handler)
			hs := httptest.NewUnstartedServer(mux)
			defer hs.Close()
			args := []string{"ways.mjs", "--path", w.path, "--secure", strconv.FormatBool(w.encrypted)}
			if w.encrypted {
				hs.EnableHTTP2 = true // browsers would poll with it; the client for Node does not
				hs.StartTLS()
				file := filepath.Join(t.TempDir(), "ca.pem")
				cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hs.Certificate().Raw})
				if err := os.WriteFile(file, cert, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--ca", file)
			} else {
				hs.Start()
			}
			if got, want := runNode(t, append(args, "--url", hs.URL)...), 3; got != want {
				t.Errorf("%d scenarios reported, want %d", got, want)
			}
		})
	}
}

// startMesh runs a mesh until the test ends.
func startMesh(t *testing.T, path string) *siomesh.Mesh {
	t.Helper()
	m, err := siomesh.New(siomesh.Config{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = m.IO().OnConnection(func(s *socketio.Socket) {
		h := s.Handshake()
		_ = s.Emit("hello", h.Secure, h.Query["way"])
		s.On("echo", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(context.WithoutCancel(t.Context())) }() // received in the cleanup
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("close the mesh: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("run the mesh: %v", err)
		}
	})
	<-m.Ready()
	return m
}

// proxy is a reverse proxy before a server of h, which takes a prefix off.
func proxy(t *testing.T, h http.Handler, prefix string) http.Handler {
	t.Helper()
	hs := httptest.NewServer(h)
	t.Cleanup(hs.Close)
	origin, err := url.Parse(hs.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), // clients break off what waits
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, prefix)
			r.SetURL(origin)
		},
	}
}
