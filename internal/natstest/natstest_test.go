package natstest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunServesUntilTheTestEnds(t *testing.T) {
	var url, id string
	t.Run("inner", func(t *testing.T) {
		url = natstest.Run(t)
		conn := connect(t, url)
		if err := conn.Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		id = conn.ConnectedServerId()
	})
	if conn, err := nats.Connect(url); err == nil {
		if conn.ConnectedServerId() == id { // else another one got its port
			t.Errorf("server at %s still runs after its test", url)
		}
		conn.Close()
	}
}

func TestServersAreApart(t *testing.T) {
	if a, b := natstest.Run(t), natstest.Run(t); a == b {
		t.Errorf("both servers at %s", a)
	}
}

func TestRestartKeepsPortAndFiles(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := natstest.Start(t, natstest.JetStream)
	before := s.URL()
	js := stream(t, connect(t, before))
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatalf("create stream: %v", err)
	}
	s.Restart()
	if got := s.URL(); got != before {
		t.Errorf("after restart: got %s, want %s", got, before)
	}
	js = stream(t, connect(t, s.URL()))
	if _, err := js.Stream(ctx, "KEPT"); err != nil {
		t.Errorf("stream after restart: %v", err)
	}
	s.Stop()
	s.Stop()
	if s.Server() != nil {
		t.Error("a stopped server is still there")
	}
}

func TestWithSetsOptions(t *testing.T) {
	url := natstest.Run(t, natstest.With(func(o *server.Options) { o.MaxPayload = 4096 }))
	if got := connect(t, url).MaxPayload(); got != 4096 {
		t.Errorf("max payload: got %d, want 4096", got)
	}
}

func connect(tb testing.TB, url string) *nats.Conn {
	tb.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		tb.Fatalf("connect to %s: %v", url, err)
	}
	tb.Cleanup(conn.Close)
	return conn
}

func stream(tb testing.TB, conn *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		tb.Fatalf("jetstream: %v", err)
	}
	return js
}
