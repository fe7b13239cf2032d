package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/siomesh/siomesh/internal/telemetry"
)

// listenFlags bound what the address for clients takes of anybody, before the engine looks at it.
type listenFlags struct {
	MaxTCPConnections int           `name:"max-tcp-connections" default:"0" placeholder:"N" help:"Open TCP connections of clients; more are cut as they come. 0 is no limit."`
	HeaderTimeout     time.Duration `default:"10s" help:"The header of a request must have arrived within this time."`
	IdleTimeout       time.Duration `default:"75s" help:"A connection without a request for this long is closed; WebSockets are not meant."`
	MaxHeaderBytes    int           `default:"16384" placeholder:"BYTES" help:"Largest header of a request, give or take 4096 bytes; a larger one is refused with status 431."`
}

func (f *listenFlags) validate() error {
	if f.MaxTCPConnections < 0 {
		return errors.New("--max-tcp-connections: want 0 or more")
	}
	if f.HeaderTimeout < time.Millisecond || f.IdleTimeout < time.Millisecond {
		return errors.New("--header-timeout, --idle-timeout: want 1ms or more")
	}
	if f.MaxHeaderBytes < 1024 {
		return errors.New("--max-header-bytes: want 1024 or more")
	}
	return nil
}

// server returns the HTTP server of clients. It has no time limit for whole requests and answers, since long polls take what
// they take; the engine has its own for bodies and for what it writes.
func (f *listenFlags) server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           taken(boundBodies(h, f.HeaderTimeout)),
		ConnState:         follow,
		ReadHeaderTimeout: f.HeaderTimeout,
		IdleTimeout:       f.IdleTimeout,
		MaxHeaderBytes:    f.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // every request that was read is the handler's
	}
}

// serveClients answers clients on ln until ctx ends, then lets the requests under way finish for a moment. It closes ln.
func (f *listenFlags) serveClients(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	server := f.server(h, log)
	stopped := make(chan error, 1)
	unhook := context.AfterFunc(ctx, func() { stopped <- stop(ctx, server) }) // received below if it was started
	err := server.Serve(ln)
	if unhook() {
		return fmt.Errorf("serve clients on %s: %w", ln.Addr(), err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stop serving clients on %s: %w", ln.Addr(), err)
	}
	return nil
}

// stopWait bounds how long requests under way are waited for; the engine ends its own.
const stopWait = 2 * time.Second

func stop(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	return err //nolint:wrapcheck // by the caller
}

// boundBodies bounds the time for what a handler leaves unread of a body, for which net/http waits before it sends the answer.
// A handler that reads a POST has its own bound meanwhile.
func boundBodies(h http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			h.ServeHTTP(w, r)
			return
		}
		bound := func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout)) } // always supported here
		upgrade := r.Header.Get("Upgrade") != ""
		if upgrade || r.Method != http.MethodPost {
			bound()
		}
		if !upgrade { // else the connection may belong to somebody else afterwards, who had the bound removed
			defer bound()
		}
		h.ServeHTTP(w, r)
	})
}

// clientListener counts the connections of clients, and cuts those beyond a limit as they come. It does not leave them waiting
// in the kernel, as a listener that stops accepting does: there a client, or a balancer that could try another edge, waits for
// an answer that comes when a slot gets free, and whoever holds all slots has shut everybody out in silence.
type clientListener struct {
	*net.TCPListener
	max     int64
	open    atomic.Int64
	refused atomic.Uint64
	unread  [unreadReasons]atomic.Uint64
}

// Accept implements net.Listener.
func (l *clientListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http looks at what it is
		}
		if l.open.Add(1) > l.max && l.max > 0 {
			l.open.Add(-1)
			l.refused.Add(1)
			_ = conn.SetLinger(0) // a reset, after which nothing of it stays here
			_ = conn.Close()      // it was never used
			continue
		}
		return &clientConn{TCPConn: conn, of: l}, nil
	}
}

func (l *clientListener) telemetry() []telemetry.Metric {
	metrics := []telemetry.Metric{
		telemetry.Gauge("sio_edge_tcp_connections", "TCP connections of clients open now.", func() float64 { return float64(l.open.Load()) }),
		telemetry.Count("sio_edge_tcp_refused_total", "TCP connections of clients cut because there were too many.", &l.refused),
	}
	for i, reason := range [unreadReasons]string{"header_timeout", "header_too_large", "malformed", "idle"} {
		metrics = append(metrics,
			telemetry.Count("sio_edge_requests_unread_total", "Connections of clients closed for want of a request that can be read, by reason.", &l.unread[i], "reason", reason))
	}
	return metrics
}

// listen opens the address for clients.
func (f *listenFlags) listen(ctx context.Context, address string) (*clientListener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		ln.Close()
		return nil, fmt.Errorf("--listen %s: not TCP", address)
	}
	return &clientListener{TCPListener: tcp, max: int64(f.MaxTCPConnections)}, nil
}
