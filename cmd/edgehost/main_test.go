package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The floor joins and broadcasts as siobench expects it of a server, and gives account of itself.
func TestFloor(t *testing.T) {
	h := host{floor: true, listen: freeport.Address(t), internal: freeport.Address(t)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.serve(ctx, slog.New(slog.DiscardHandler)) }() // received below
	var members []*client
	for range 3 {
		members = append(members, connect(t, h.listen))
	}
	for _, c := range members {
		say(t, c, `420["join",["room"]]`)
		hear(t, c, `430[]`)
	}
	say(t, members[0], `427["bcast","room","text"]`)
	for _, c := range members {
		hear(t, c, `42["msg","text"]`)
	}
	hear(t, members[0], `437[]`)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		a := ask(t, method, "http://"+h.internal+"/account")
		if a.Goroutines < 4 || a.Descriptors < 6 || a.CPUMicros <= 0 || (a.AnonymousKB > 0) != (method == http.MethodPost) {
			t.Errorf("%s: %+v", method, a)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// client is a connection with what came along with the handshake.
type client struct {
	net.Conn
	r io.Reader
}

func connect(t *testing.T, address string) *client {
	t.Helper()
	var conn net.Conn
	var early *bufio.Reader
	var err error
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if conn, early, _, err = ws.Dial(t.Context(), "ws://"+address+"/socket.io/?EIO=4&transport=websocket"); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{Conn: conn, r: conn}
	if early != nil {
		c.r = io.MultiReader(io.LimitReader(early, int64(early.Buffered())), conn)
	}
	hear(t, c, floorOpen)
	say(t, c, "40")
	hear(t, c, `40{"sid":"floor"}`)
	return c
}

func say(t *testing.T, c *client, text string) {
	t.Helper()
	if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c *client, want string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	frame, err := ws.ReadFrame(c.r) //nolint:staticcheck // from a server of this test
	if err != nil || string(frame.Payload) != want {
		t.Fatalf("got %q (%v), want %q", frame.Payload, err, want)
	}
}

func ask(t *testing.T, method, url string) account {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	var a account
	if err != nil || json.Unmarshal(body, &a) != nil {
		t.Fatalf("account: %q (%v)", body, err)
	}
	return a
}
