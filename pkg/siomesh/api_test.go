package siomesh_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/siomesh/siomesh/pkg/siomesh"
)

// TestAPISettings: each setting of the API by itself can be seen from outside.
func TestAPISettings(t *testing.T) {
	m, err := siomesh.New(siomesh.Config{
		Log: slog.New(slog.DiscardHandler), NATSListen: "127.0.0.1:0",
		APIConcurrency: 1, APITimeout: 500 * time.Millisecond, APIMaxTimeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	greet(m.IO(), nil)
	url := start(t, m)
	c := connect(t, url)
	if got, want := c.Next(), `["hello","there"]`; got != want {
		t.Errorf("first event = %s, want %s", got, want)
	}
	nc, err := nats.Connect(m.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ask := func(verb, request, want string) {
		t.Helper()
		reply, err := nc.Request("sio.v1.api."+verb, []byte(request), 20*time.Second)
		if err != nil || !strings.Contains(string(reply.Data), want) {
			t.Errorf("%s %s: got %v, %v, want %s", verb, request, reply, err, want)
		}
	}
	ask("count", `{"timeout":10001}`, "timeout must be from 1 to 10000 milliseconds")
	begun := time.Now()
	ask("emit", `{"event":"silence","ack":true}`, `"reason":"timeout"`)
	if took := time.Since(begun); took > 3*time.Second { // the default is 4 s
		t.Errorf("a request without a timeout took %v, want 500 ms", took)
	}
	waiting := make(chan error, 1)
	go func() { // received below
		_, err := nc.Request("sio.v1.api.emit", []byte(`{"event":"occupied","ack":true,"timeout":8000}`), 20*time.Second)
		waiting <- err
	}()
	for range 2 {
		c.Next() // silence, and occupied: its request is under way
	}
	ask("count", "", `"code":"busy"`)
	c.Leave() // and the request under way has nobody left to wait for
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	connect(t, url)
	ask("count", `{"timeout":2000}`, `{"count":1}`)
}

func TestDisableAPI(t *testing.T) {
	m, err := siomesh.New(siomesh.Config{Log: slog.New(slog.DiscardHandler), NATSListen: "127.0.0.1:0", DisableAPI: true})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	start(t, m)
	nc, err := nats.Connect(m.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request("sio.v1.api.count", nil, 20*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v, want no responders", err)
	}
	if m, err := siomesh.New(siomesh.Config{APIConcurrency: -1}); err == nil {
		t.Error("a negative bound is taken")
		m.Close(t.Context()) //nolint:errcheck // it must not be there
	}
}
