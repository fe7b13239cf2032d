package siomesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The limits of the HTTP server that Serve makes, on what a client may do before it is the engine's, and on its stop.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 16 << 10
	stopTimeout    = 2 * time.Second
)

// ListenAndServe is Serve at a TCP address, such as ":3000". It returns the error if that is in use; the mesh has not run then,
// and is closed.
func (m *Mesh) ListenAndServe(ctx context.Context, address string) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return errors.Join(fmt.Errorf("siomesh: %w", err), m.Close(ctx))
	}
	return m.Serve(ctx, ln)
}

// Serve is Run with an HTTP server of its own on ln, which it closes: for a program that serves nothing else. Other paths than
// the mesh's are answered 404. A listener of package crypto/tls makes it HTTPS, and with "h2" among its NextProtos HTTP/2 for
// what is no WebSocket. When it returns, no client is connected and the port is free. It returns what Run does, or why the
// server failed.
func (m *Mesh) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           m,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(m.cfg.Log.Handler(), slog.LevelDebug),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { // received below
		defer cancel()
		served <- server.Serve(ln)
	}()
	err := m.Run(ctx)
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer done()
	if server.Shutdown(closing) != nil { // somebody is slow to take an answer
		_ = server.Close() // the listener is closed already
	}
	if failure := <-served; !errors.Is(failure, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("siomesh: serve HTTP: %w", failure))
	}
	return err
}
