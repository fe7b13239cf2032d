package engine

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// quiet checks that a connection neither ends nor brings anything for a while.
func (c *rawPoll) quiet(d time.Duration) {
	c.tb.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	if b, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.tb.Errorf("got %q (%v), want nothing for %v", b, err, d)
	}
	_ = c.conn.SetReadDeadline(time.Time{})
}

// ends checks that the connection ends.
func (c *rawPoll) ends() {
	c.tb.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(deadline))
	if b, err := c.r.Peek(1); !errors.Is(err, io.EOF) {
		c.tb.Errorf("got %q (%v), want the end of the connection", b, err)
	}
}

// Between a parked GET and the next request the connection is idle, not one whose header is on its way: a balancer that keeps
// connections relies on the idle time.
func TestParkedPollThenIdle(t *testing.T) {
	t.Parallel()
	for name, tls := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, Config{}, options{tls: tls, server: func(hs *http.Server) {
				hs.ReadHeaderTimeout, hs.IdleTimeout = 2*time.Second, 6*time.Second
			}})
			c := e.openRawPoll()
			for range 2 {
				c.ask()
				c.waitParked()
				send(t, c.p.s, "late")
				c.answered("4late")
				c.quiet(2500 * time.Millisecond)
			}
			c.ends()
		})
	}
}

// The end of the engine ends connections that are between two requests, and leaves the HTTP server nothing to wait for.
func TestParkedPollThenEnd(t *testing.T) {
	var server *http.Server
	e := newEnv(t, Config{}, options{server: func(hs *http.Server) { server = hs }})
	idle, waiting := e.openRawPoll(), e.openRawPoll()
	for _, c := range []*rawPoll{idle, waiting} {
		c.ask()
		c.waitParked()
	}
	send(t, idle.p.s, "late")
	idle.answered("4late")
	e.close()
	idle.ends()
	waiting.answered("1")
	waiting.ends()
	e.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // net/http takes a new connection for idle after 5 s
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// hijackable wraps an answer as many access logs do: it can be hijacked, and does not say what it wraps.
type hijackable struct{ http.ResponseWriter }

func (w hijackable) WriteHeader(status int) {
	w.Header().Set("X-Wrapped", "yes")
	w.ResponseWriter.WriteHeader(status)
}

func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// A GET stays where it is if somebody outside wants to see its answer, or its connection.
func TestUnparkablePolls(t *testing.T) {
	for name, server := range map[string]func(*http.Server){
		"wrapper": func(hs *http.Server) {
			next := hs.Handler
			hs.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(hijackable{w}, r) })
		},
		"base context": func(hs *http.Server) {
			hs.BaseContext = func(ln net.Listener) context.Context {
				if _, ok := ln.(*pipeListener); !ok {
					t.Errorf("asked for the context of a %T", ln)
				}
				return context.Background()
			}
		},
		"connection context": func(hs *http.Server) {
			seen := map[net.Conn]bool{} // by one goroutine: that of Serve
			hs.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
				if seen[conn] {
					t.Error("asked for the context of a connection a second time")
				}
				seen[conn] = true
				return ctx
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newPipeEnv(t, Config{}, options{server: server})
				c := e.openRawPoll()
				for range 2 {
					c.ask()
					<-time.After(2 * parkAfter)
					send(t, c.p.s, "late")
					if h := c.answered("4late"); name == "wrapper" && h.Get("X-Wrapped") == "" {
						t.Error("the wrapper has not seen the answer")
					}
				}
			})
		})
	}
}

// What handlers around the engine have set stays, but for what belongs to the body; and a connection that is to close does.
func TestParkedPollsOuterHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{server: func(hs *http.Server) {
			next := hs.Handler
			hs.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, name := range []string{"Content-Type", "Content-Length", "Date", "X-Outer"} {
					w.Header().Set(name, "7")
				}
				w.Header().Set("Connection", "close")
				next.ServeHTTP(w, r)
			})
		}})
		c := e.openRawPoll()
		c.ask()
		<-time.After(2 * parkAfter)
		send(t, c.p.s, "late")
		h := c.answered("4late")
		if h.Get("X-Outer") != "7" {
			t.Error("no outer header")
		}
		if got := h["Content-Type"]; len(got) != 1 || got[0] != "text/plain; charset=UTF-8" {
			t.Errorf("Content-Type %q", got)
		}
		if got := h["Content-Length"]; len(got) != 1 || got[0] != "5" {
			t.Errorf("Content-Length %q", got)
		}
		if got := h["Date"]; len(got) != 1 || got[0] == "7" {
			t.Errorf("Date %q", got)
		}
		c.ends()
	})
}
