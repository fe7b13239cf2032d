// Package siotest is a small Socket.IO client for tests and examples: one socket of one namespace, over WebSocket,
// long-polling, or the upgrade from one to the other. What it gets it shows as text, close to what is on the wire, and what
// goes wrong too: so a test or an example compares and prints, and handles no errors. It refuses nothing that a server may
// say, and never comes back by itself. Start at Dial.
package siotest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Patience is how long a client waits for what must come.
const Patience = 20 * time.Second

// Options say how a client connects. The zero value is "/" over WebSocket.
type Options struct {
	Namespace string
	Auth      any    // payload of the CONNECT packet, a JSON object
	Transport string // "websocket", "polling", or "upgrade" from the latter to the former
	Path      string // with slashes around it; "/socket.io/" if empty
	Header    http.Header
	// HTTP makes the requests of polling, and the TLS configuration of its *http.Transport is that of WebSockets;
	// http.DefaultClient if nil.
	HTTP *http.Client
}

// Client is a client that has asked to join a namespace. Its methods are safe for concurrent use.
type Client struct {
	conn      transport
	namespace string
	id        string
	ended     chan struct{} // closed when everything that came is in got
	got       chan string   // events, and at last how it ended

	mu      sync.Mutex
	asked   int                 // guarded by mu: the latest acknowledgement id
	waiting map[int]chan string // guarded by mu: by acknowledgement id
	answers map[string][]any    // guarded by mu: by event
}

// transport carries Engine.IO packets; read is called by one goroutine.
type transport interface {
	send(ctx context.Context, packets []frame) error
	read(ctx context.Context) ([]frame, error)
	close()
}

// frame is one Engine.IO packet: the text with its type, or binary.
type frame struct {
	text   string
	binary []byte // not nil if it is binary
}

// Dial connects to the server at url, such as "http://127.0.0.1:3000", and asks to join the namespace. It returns when the
// client has joined, or was refused: the first Next tells.
func Dial(url string, o Options) (*Client, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := open(ctx, url, o)
	if err != nil {
		return nil, fmt.Errorf("open a session at %s: %w", url, err)
	}
	c := &Client{
		conn: conn, namespace: o.Namespace, ended: make(chan struct{}), got: make(chan string, 4096),
		waiting: map[int]chan string{}, answers: map[string][]any{},
	}
	joined := make(chan string, 1)
	go c.read(joined) // Close waits for it
	payload := ""
	if o.Auth != nil {
		text, err := json.Marshal(o.Auth)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("encode the auth payload: %w", err)
		}
		payload = string(text)
	}
	if err := conn.send(ctx, []frame{{text: "40" + c.prefix() + payload}}); err != nil {
		c.Close()
		return nil, fmt.Errorf("send CONNECT: %w", err)
	}
	select {
	case c.id = <-joined:
		return c, nil
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("join %s: %w", o.Namespace, ctx.Err())
	}
}

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "/"
	}
	if o.Path == "" {
		o.Path = "/socket.io/"
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	return o
}

// ID returns the socket's id, "" if the client was refused.
func (c *Client) ID() string { return c.id }

// Emit sends an event. A []byte is sent as binary.
func (c *Client) Emit(event string, args ...any) { c.send("2", "", append([]any{event}, args...)) }

// Ask sends an event and returns what the server acknowledges it with, as a JSON array.
func (c *Client) Ask(event string, args ...any) string {
	reply := make(chan string, 1)
	c.mu.Lock()
	c.asked++
	id := c.asked
	c.waiting[id] = reply
	c.mu.Unlock()
	c.send("2", strconv.Itoa(id), append([]any{event}, args...))
	select {
	case text := <-reply:
		return text
	case <-c.ended:
		return "closed"
	case <-time.After(Patience):
		return "no acknowledgement of " + event
	}
}

// Answer has the client acknowledge events of that name with args from now on.
func (c *Client) Answer(event string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[event] = args
}

// Next waits for the next event and returns it as a JSON array, its name first, binary as <hex>. What is not an event it
// returns as "connect_error {…}", "disconnect", that the server takes the client out of the namespace, and "closed", the end
// of the connection.
func (c *Client) Next() string {
	select {
	case text, ok := <-c.got:
		if !ok {
			return "closed"
		}
		return text
	case <-time.After(Patience):
		return "nothing came"
	}
}

// Leave leaves the namespace; the connection stays.
func (c *Client) Leave() { c.write([]frame{{text: "41" + c.prefix()}}) }

// Close ends the connection and returns when nothing of the client is left.
func (c *Client) Close() {
	c.conn.close()
	<-c.ended
}

// prefix returns what stands between a packet's type and its data.
func (c *Client) prefix() string {
	if c.namespace == "/" {
		return ""
	}
	return c.namespace + ","
}

// send sends an event or acknowledgement.
func (c *Client) send(kind, id string, args []any) {
	text, attachments, err := encode(args)
	if err != nil {
		c.got <- err.Error()
		return
	}
	if len(attachments) > 0 {
		kind = map[string]string{"2": "5", "3": "6"}[kind] + strconv.Itoa(len(attachments)) + "-"
	}
	packets := []frame{{text: "4" + kind + c.prefix() + id + text}}
	for _, a := range attachments {
		packets = append(packets, frame{binary: a})
	}
	c.write(packets)
}

// write sends packets; if it fails, the reader knows as well.
func (c *Client) write(packets []frame) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	_ = c.conn.send(ctx, packets)
}

// read takes what comes until the connection ends.
func (c *Client) read(joined chan<- string) {
	defer close(c.ended)
	defer close(c.got)
	defer c.conn.close()
	for {
		packets, err := c.conn.read(context.Background())
		if err != nil {
			tell(joined, "")
			return
		}
		for i := 0; i < len(packets); i++ {
			message, isMessage := strings.CutPrefix(packets[i].text, "4")
			switch {
			case packets[i].text == "2":
				c.write([]frame{{text: "3"}})
			case packets[i].text == "1":
				return
			case isMessage && message != "":
				for wanted(message) > len(packets)-i-1 {
					more, err := c.conn.read(context.Background())
					if err != nil {
						return
					}
					packets = append(packets, more...)
				}
				c.take(show(message, packets[i+1:]), joined)
			}
		}
	}
}

// take handles one Socket.IO packet, whose binary is shown.
func (c *Client) take(message string, joined chan<- string) {
	kind, rest := message[:1], message[1:]
	rest = strings.TrimPrefix(rest, c.prefix())
	switch kind {
	case "0":
		var open struct{ SID string }
		_ = json.Unmarshal([]byte(rest), &open) // shown by ID
		tell(joined, open.SID)
	case "1":
		c.got <- "disconnect"
	case "4":
		c.got <- "connect_error " + rest
		tell(joined, "")
	case "2", "5":
		id, array := cutID(rest)
		if id == "" || !c.answer(id, array) {
			c.got <- array
		}
	case "3", "6":
		id, array := cutID(rest)
		n, _ := strconv.Atoi(id)
		c.mu.Lock()
		reply := c.waiting[n]
		delete(c.waiting, n)
		c.mu.Unlock()
		if reply != nil {
			reply <- array
		}
	}
}

// tell tells Dial, which waits for the first answer only.
func tell(joined chan<- string, id string) {
	select {
	case joined <- id:
	default:
	}
}

// answer acknowledges an event if it was said how.
func (c *Client) answer(id, array string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(array, `["`), `"`)
	c.mu.Lock()
	args, ok := c.answers[name]
	c.mu.Unlock()
	if ok {
		c.send("3", id, args)
	}
	return ok
}

// cutID takes the acknowledgement id off an array.
func cutID(text string) (id, array string) {
	at := max(strings.IndexByte(text, '['), 0)
	return text[:at], text[at:]
}
