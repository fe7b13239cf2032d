package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

// frames is a WebSocket session of a site.
type frames struct {
	conn       net.Conn
	in         *bufio.Reader
	extensions int  // agreed on
	compressed bool // the last frame that was read
}

// dial opens a WebSocket with more in its query.
func (s *site) dial(t *testing.T, query string) *frames {
	t.Helper()
	var d ws.Dialer
	d.Extensions = append(d.Extensions, wsflate.DefaultParameters.Option())
	conn, in, agreed, err := d.Dial(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/socket.io/?EIO=4&transport=websocket"+query)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	if in == nil {
		in = bufio.NewReader(conn)
	}
	if err := conn.SetDeadline(time.Now().Add(9 * time.Second)); err != nil { // the defaults take longer than that
		t.Fatal(err)
	}
	return &frames{conn: conn, in: in, extensions: len(agreed.Extensions)}
}

func (f *frames) write(t *testing.T, text string) {
	t.Helper()
	if err := wsutil.WriteClientText(f.conn, []byte(text)); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// next returns the next frame's payload.
func (f *frames) next() (string, error) {
	h, err := ws.ReadHeader(f.in)
	if err != nil {
		return "", err
	}
	if h.OpCode == ws.OpClose {
		return "", io.EOF
	}
	f.compressed = h.Rsv1()
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(f.in, payload)
	return string(payload), err
}

func (f *frames) read(t *testing.T) string {
	t.Helper()
	text, err := f.next()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return text
}

// wantEnd reads until the server has closed the connection.
func (f *frames) wantEnd(t *testing.T) {
	t.Helper()
	for {
		_, err := f.next()
		if netErr, ok := err.(net.Error); ok && netErr.Timeout() { //nolint:errorlint // as it comes from the connection
			t.Fatal("the connection is still open")
		}
		if err != nil {
			return
		}
	}
}
