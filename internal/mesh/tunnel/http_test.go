package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// net/http is a hard user of a net.Conn.
func TestHTTP(t *testing.T) {
	a, b := newPair(t, Config{Window: 4 << 10})
	l := &listener{b.accepted, make(chan struct{})}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // waited for below
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.mux.Open(ctx, b.self, nil, false) },
	}}
	body := strings.Repeat("body ", 10_000)
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://peer/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || string(got) != body {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
	client.CloseIdleConnections()
	_ = server.Close()
	if err := get(t, served); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// listener listens for streams.
type listener struct {
	streams chan *Stream
	done    chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case s := <-l.streams:
		return s, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { close(l.done); return nil }
func (l *listener) Addr() net.Addr { return addr{} }
