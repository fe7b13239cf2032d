package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/rs/cors"

	"github.com/siomesh/siomesh/pkg/engine"
)

// shutdownTimeout bounds the graceful stop.
const shutdownTimeout = 5 * time.Second

// serveEngine serves the server that the official Engine.IO suites want on ln until ctx
// ends: path /engine.io, short heartbeat, any origin, every message echoed; protocol 3
// only if it is allowed, as a case of the v4 suite wants it refused.
func serveEngine(ctx context.Context, ln net.Listener, allowEIO3 bool, log *slog.Logger) error {
	srv, err := engine.New(
		func(s *engine.Session, _ *http.Request) (engine.Handler, error) { return &engineEcho{s: s}, nil },
		engine.Config{
			PingInterval: 300 * time.Millisecond,
			PingTimeout:  200 * time.Millisecond,
			AllowEIO3:    allowEIO3,
			CORS:         &cors.Options{AllowedOrigins: []string{"*"}},
			Log:          log,
		})
	if err != nil {
		return fmt.Errorf("make engine: %w", err)
	}
	hs := &http.Server{
		Handler:           srv,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }() // ended by Shutdown or a failed listener; waited for below
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err = errors.Join(srv.Close(stop), hs.Shutdown(stop)) // sessions first: they hold requests open
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// engineEcho sends every message back.
type engineEcho struct{ s *engine.Session }

// Message queues a copy of the message, which is sent at the end of the batch.
func (e *engineEcho) Message(data []byte, binary bool) {
	data = append([]byte(nil), data...)
	m := engine.NewText(data)
	if binary {
		m = engine.NewBinary(data)
	}
	_ = e.s.Queue(m) // a session that is closed wants no echo
}

// EndBatch sends what Message has queued.
func (e *engineEcho) EndBatch() { e.s.Flush() }

// Closed has nothing to clean up.
func (e *engineEcho) Closed(engine.Reason, error) {}
