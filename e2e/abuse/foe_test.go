package abuse_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// attack is one way to be a nuisance.
type attack struct {
	name  string
	times int
	do    func(f *foe) error // an error says what the server should have done
}

// foe is a client that keeps to no rules. Its connections are closed when its attack is over.
type foe struct {
	addr  string
	conns []*raw
}

// raw is a connection on which anything may be said.
type raw struct {
	net.Conn
	in *bufio.Reader
}

// allowed is how long the server may take to react.
const allowed = 15 * time.Second

func (f *foe) dial() (*raw, error) {
	conn, err := net.DialTimeout("tcp", f.addr, allowed) //nolint:noctx // has a timeout
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(allowed)); err != nil {
		return nil, fmt.Errorf("deadline: %w", err)
	}
	r := &raw{Conn: conn, in: bufio.NewReader(conn)}
	f.conns = append(f.conns, r)
	return r, nil
}

func (f *foe) end() {
	for _, c := range f.conns {
		_ = c.Close()
	}
}

// say dials and writes; that the server ends the connection meanwhile is its right.
func (f *foe) say(parts ...string) (*raw, error) {
	c, err := f.dial()
	if err != nil {
		return nil, err
	}
	c.say(parts...)
	return c, nil
}

func (r *raw) say(parts ...string) {
	for _, p := range parts {
		if _, err := io.WriteString(r, p); err != nil {
			return
		}
	}
}

// ended returns nil once the server has ended the connection, whatever it said before.
func (r *raw) ended() error {
	_, err := io.Copy(io.Discard, r.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the connection is open after %v", allowed)
	}
	return nil
}

// closed returns nil once the server has ended the WebSocket, by a close frame or without; the client need not answer it.
func (r *raw) closed() error {
	for {
		first, _, err := r.frame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("the connection is open after %v", allowed)
		case err != nil || first == 0x88:
			return nil //nolint:nilerr // that is what was to happen
		}
	}
}

// frame reads a frame of the server: its first byte and payload.
func (r *raw) frame() (first byte, payload string, err error) {
	var h [2]byte
	if _, err := io.ReadFull(r.in, h[:]); err != nil {
		return 0, "", err //nolint:wrapcheck // the caller says what
	}
	n := int64(h[1])
	if n >= 126 {
		long := make([]byte, 2+(n-126)*6)
		if _, err := io.ReadFull(r.in, long); err != nil {
			return 0, "", err //nolint:wrapcheck // the caller says what
		}
		n = 0
		for _, b := range long {
			n = n<<8 | int64(b)
		}
	}
	var b bytes.Buffer
	_, err = io.CopyN(&b, r.in, n)
	return h[0], b.String(), err //nolint:wrapcheck // the caller says what
}

// status reads the head of an HTTP response and its body.
func (r *raw) status() (int, string, error) {
	res, err := http.ReadResponse(r.in, nil)
	if err != nil {
		return 0, "", fmt.Errorf("no response: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// answered returns nil if the server answers with one of the statuses.
func (r *raw) answered(statuses ...int) error {
	got, body, err := r.status()
	for _, want := range statuses {
		if got == want {
			return nil
		}
	}
	return fmt.Errorf("got status %d %.80q, %w, want one of %d", got, body, err, statuses)
}

// polling opens a session.
func (f *foe) polling() (sid string, err error) {
	c, err := f.say(get(""))
	if err != nil {
		return "", err
	}
	_, body, err := c.status()
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return "", fmt.Errorf("handshake: got %.80q, %w", body, err)
	}
	return sid, c.Close()
}

// get and post are requests to the endpoint.
func get(query string) string {
	return "GET /socket.io/?EIO=4&transport=polling" + query + " HTTP/1.1\r\nHost: x\r\n\r\n"
}

func post(sid, headers, body string) string {
	return "POST /socket.io/?EIO=4&transport=polling&sid=" + sid + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body
}

// websocket opens a session on a WebSocket.
func (f *foe) websocket(headers string) (*raw, error) {
	c, err := f.say("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + headers + "\r\n")
	if err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, fmt.Errorf("no response: %w", err)
	}
	defer res.Body.Close() // empty
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("status %d, want 101", res.StatusCode)
	}
	return c, nil
}

// joined opens a session on a WebSocket and joins the namespace.
func (f *foe) joined() (*raw, error) {
	c, err := f.websocket("")
	if err != nil {
		return nil, err
	}
	c.say(text("40"))
	for {
		_, payload, err := c.frame()
		if err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
		if strings.HasPrefix(payload, "40{") {
			return c, nil
		}
	}
}

// frame is a WebSocket frame with a first byte of its own, masked with zeros.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return string(append(b, 0, 0, 0, 0)) + payload
}

func text(payload string) string { return frame(0x81, payload) }
