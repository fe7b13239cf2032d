package abuse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// client is a well-behaved client: it sends events three at a time and waits for their answers, again and again.
type client struct {
	name string
	wire transport
	next int // number of the next event
	took []time.Duration
}

// transport carries Engine.IO packets.
type transport interface {
	send(packets ...string) error
	receive() (packet string, err error) // without pings, which are answered
	close()
}

// kinds are how clients connect, in turn.
var kinds = []func(ctx context.Context, addr string) (transport, error){dialWebSocket, dialPolling, dialUpgraded}

// join connects a client and joins the namespace.
func join(ctx context.Context, addr string, n int) (*client, error) {
	wire, err := kinds[n%len(kinds)](ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("client %d: %w", n, err)
	}
	c := &client{name: fmt.Sprintf("client %d (%T)", n, wire), wire: wire}
	if err := wire.send("40"); err != nil {
		return nil, fmt.Errorf("%s: join: %w", c.name, err)
	}
	p, err := wire.receive()
	if err != nil || !strings.HasPrefix(p, `40{"sid":`) {
		return nil, fmt.Errorf("%s: join: got %q, %w", c.name, p, err)
	}
	return c, nil
}

// round sends three events and waits for the answers, which must come in order.
func (c *client) round() error {
	const events = 3
	var packets [events]string
	for i := range packets {
		packets[i] = fmt.Sprintf(`42%d["echo",%d]`, c.next+i, c.next+i)
	}
	start := time.Now()
	if err := c.wire.send(packets[:]...); err != nil {
		return fmt.Errorf("%s: event %d: %w", c.name, c.next, err)
	}
	for range events {
		want := fmt.Sprintf("43%d[%d]", c.next, c.next)
		got, err := c.wire.receive()
		if err != nil || got != want {
			return fmt.Errorf("%s: got %q, %w, want %q", c.name, got, err, want)
		}
		c.next++
	}
	c.took = append(c.took, time.Since(start))
	return nil
}

// patience is how long a client waits for anything.
const patience = 20 * time.Second

// socket is a WebSocket.
type socket struct {
	conn net.Conn
	in   io.Reader
}

func dialWebSocket(ctx context.Context, addr string) (transport, error) {
	s, err := openWebSocket(ctx, addr, "")
	if err != nil {
		return nil, err
	}
	if p, err := s.receive(); err != nil || !strings.HasPrefix(p, `0{"sid":`) {
		return nil, fmt.Errorf("open: got %q, %w", p, err)
	}
	return s, nil
}

func openWebSocket(ctx context.Context, addr, query string) (*socket, error) {
	conn, in, _, err := ws.Dial(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket"+query)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	s := &socket{conn: conn, in: conn}
	if in != nil {
		s.in = in
	}
	return s, nil
}

func (s *socket) send(packets ...string) error {
	for _, p := range packets {
		if err := wsutil.WriteClientText(s.conn, []byte(p)); err != nil {
			return err //nolint:wrapcheck // the caller says what
		}
	}
	return nil
}

func (s *socket) receive() (string, error) {
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return "", err //nolint:wrapcheck // the caller says what
		}
		p, _, err := wsutil.ReadServerData(readWriter{s.in, s.conn})
		if err != nil || string(p) != "2" {
			return string(p), err //nolint:wrapcheck // the caller says what
		}
		if err := s.send("3"); err != nil {
			return "", err
		}
	}
}

func (s *socket) close() { _ = s.conn.Close() }

type readWriter struct {
	io.Reader
	io.Writer
}

// poller is long-polling.
type poller struct {
	http *http.Client
	url  string
	came []string
}

func dialPolling(ctx context.Context, addr string) (transport, error) {
	p := &poller{
		http: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: patience},
		url:  "http://" + addr + "/socket.io/?EIO=4&transport=polling",
	}
	open, err := p.receive() //nolint:contextcheck // the client has a timeout
	_, rest, _ := strings.Cut(open, `"sid":"`)
	sid, _, ok := strings.Cut(rest, `"`)
	if err != nil || !ok {
		return nil, fmt.Errorf("open: got %q, %w", open, err)
	}
	p.url += "&sid=" + sid
	return p, ctx.Err()
}

func (p *poller) send(packets ...string) error {
	_, err := p.do(http.MethodPost, strings.Join(packets, "\x1e"))
	return err
}

func (p *poller) receive() (string, error) {
	for {
		if len(p.came) == 0 {
			body, err := p.do(http.MethodGet, "")
			if err != nil {
				return "", err
			}
			p.came = strings.Split(body, "\x1e")
		}
		packet := p.came[0]
		if p.came = p.came[1:]; packet != "2" {
			return packet, nil
		}
		if err := p.send("3"); err != nil {
			return "", err
		}
	}
}

func (p *poller) do(method, body string) (string, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, p.url, strings.NewReader(body))
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says what
	}
	res, err := p.http.Do(r)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says what
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", method, res.StatusCode, b)
	}
	return string(b), err
}

func (p *poller) close() {
	_ = p.send("1")
	p.http.CloseIdleConnections()
}

// dialUpgraded begins with polling and changes to a WebSocket.
func dialUpgraded(ctx context.Context, addr string) (transport, error) {
	first, err := dialPolling(ctx, addr)
	if err != nil {
		return nil, err
	}
	p, ok := first.(*poller)
	if !ok {
		return nil, errors.New("no poller")
	}
	defer p.http.CloseIdleConnections()
	s, err := openWebSocket(ctx, addr, p.url[strings.Index(p.url, "&sid="):])
	if err != nil {
		return nil, err
	}
	if err := s.send("2probe"); err != nil {
		return nil, err
	}
	if got, err := s.receive(); err != nil || got != "3probe" {
		return nil, fmt.Errorf("probe: got %q, %w", got, err)
	}
	return s, s.send("5")
}
