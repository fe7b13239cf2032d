package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// watchers is the room of "/" that is told of every socket that goes.
const watchers = "watchers"

// serve adds the handlers of an ordinary namespace.
func (a *app) serve(n *socketio.Namespace, s *socketio.Socket) {
	c := &client{app: a, n: n, s: s}
	for event, h := range map[string]socketio.Handler{
		"echo": echo, "decoded": decoded, "album": album, "back": c.back, "tick": c.tick, "string": c.text, "bytes": c.bytes, "date": c.date,
		"ask": c.ask, "ask-length": c.askLength, "ask-late": c.askLate,
		"join": c.join, "leave": c.leave, "rooms": c.rooms, "join-and-tell": c.joinAndTell,
		"all": c.all, "others": c.others, "to": c.to, "to-others": c.toOthers,
		"count": c.count, "flush": c.flush, "kick": c.kick, "handshake": c.handshake, "data": c.data, "whoami": c.whoami,
	} {
		s.On(event, h)
	}
	c.operators()
	c.single()
	s.OnDisconnecting(func(d socketio.Disconnect) { c.seen = d.Rooms })
	s.OnDisconnect(c.gone)
	check(s, s.Emit("hello", a.instance))
}

// client is a socket with its handlers, which run one at a time.
type client struct {
	app  *app
	n    *socketio.Namespace
	s    *socketio.Socket
	seen []string // rooms at the time of "disconnecting"
	kept *socketio.Event
}

// arguments decodes whatever came, binary included.
func arguments(a socketio.Args) ([]any, error) {
	args := make([]any, a.Len())
	targets := make([]any, len(args))
	for i := range args {
		targets[i] = &args[i]
	}
	return args, a.Bind(targets...)
}

// echo answers with what came, as it came; decoded with what it is for Go.
func echo(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) }

func decoded(_ context.Context, e *socketio.Event) error {
	args, err := arguments(e.Args)
	if err != nil {
		return err
	}
	return e.Ack(args...)
}

// album(title, pictures) answers with the same, out of a type with binary inside.
func album(_ context.Context, e *socketio.Event) error {
	type picture struct {
		Name  string
		Bytes []byte
		Thumb *socketio.Binary `json:"thumb,omitempty"`
	}
	var a struct {
		Title    string             `json:"title"`
		Pictures []picture          `json:"pictures"`
		ByName   map[string]picture `json:"byName"`
	}
	if err := e.Bind(&a); err != nil {
		return err
	}
	for _, p := range a.Pictures {
		a.ByName[p.Name] = p
	}
	return e.Ack(a, len(a.Pictures))
}

func (c *client) back(_ context.Context, e *socketio.Event) error {
	return c.s.Emit("back", e.Args.Values()...)
}

func (c *client) tick(_ context.Context, e *socketio.Event) error {
	args, err := arguments(e.Args)
	if err != nil {
		return err
	}
	return c.s.Emit("tick", args...)
}

func (c *client) text(_ context.Context, e *socketio.Event) error {
	var n int
	if err := e.Bind(&n); err != nil {
		return err
	}
	return e.Ack(strings.Repeat("x", n))
}

func (c *client) bytes(_ context.Context, e *socketio.Event) error {
	var n int
	if err := e.Bind(&n); err != nil {
		return err
	}
	return e.Ack(bytes.Repeat([]byte{7}, n))
}

// date(time) says and answers the same, alone and inside an object.
func (c *client) date(_ context.Context, e *socketio.Event) error {
	var at time.Time
	if err := e.Bind(&at); err != nil {
		return err
	}
	inside := map[string]time.Time{"at": at}
	return errors.Join(c.s.Emit("date", at, inside), e.Ack(at, inside))
}

// ask(question) answers with what the client answers.
func (c *client) ask(ctx context.Context, e *socketio.Event) error {
	args, err := arguments(e.Args)
	if err != nil {
		return err
	}
	reply, err := c.s.EmitWithAck(ctx, "question", args...)
	if err != nil {
		return err
	}
	if args, err = arguments(reply); err != nil {
		return err
	}
	return e.Ack(args...)
}

// askLength(question) answers with the length of the client's answer, text or binary.
func (c *client) askLength(ctx context.Context, e *socketio.Event) error {
	args, err := arguments(e.Args)
	if err != nil {
		return err
	}
	reply, err := c.s.EmitWithAck(ctx, "question", args...)
	if err != nil {
		return err
	}
	var text string
	if reply.Bind(&text) == nil {
		return e.Ack(len(text))
	}
	var data []byte
	if err := reply.Bind(&data); err != nil {
		return err
	}
	return e.Ack(len(data))
}

// askLate(milliseconds) asks and does not wait longer than that.
func (c *client) askLate(ctx context.Context, e *socketio.Event) error {
	var ms int
	if err := e.Bind(&ms); err != nil {
		return err
	}
	_, err := c.s.Timeout(time.Duration(ms)*time.Millisecond).EmitWithAck(ctx, "question", "late")
	switch {
	case err == nil:
		return e.Ack("answered")
	case errors.Is(err, socketio.ErrTimeout):
		return e.Ack("timeout")
	default:
		return err
	}
}

func (c *client) join(_ context.Context, e *socketio.Event) error {
	rooms, err := roomsOf(e.Args, 0)
	if err != nil {
		return err
	}
	return errors.Join(c.s.Join(rooms...), e.Ack())
}

func (c *client) leave(_ context.Context, e *socketio.Event) error {
	rooms, err := roomsOf(e.Args, 0)
	if err != nil {
		return err
	}
	return errors.Join(c.s.Leave(rooms...), e.Ack())
}

func (c *client) rooms(_ context.Context, e *socketio.Event) error {
	return e.Ack(inJavaScriptOrder(c.s.Rooms()))
}

// joinAndTell(room, what) joins the room and tells it something at once.
func (c *client) joinAndTell(_ context.Context, e *socketio.Event) error {
	var room string
	var what any
	if err := e.Bind(&room, &what); err != nil {
		return err
	}
	return errors.Join(c.s.Join(room), c.n.To(room).Emit("said", what), e.Ack(what))
}

func (c *client) all(_ context.Context, e *socketio.Event) error {
	var what any
	if err := e.Bind(&what); err != nil {
		return err
	}
	return errors.Join(c.n.Emit("all", what), e.Ack())
}

func (c *client) others(_ context.Context, e *socketio.Event) error {
	var what any
	if err := e.Bind(&what); err != nil {
		return err
	}
	return errors.Join(c.s.Broadcast().Emit("all", what), e.Ack())
}

// to(rooms, except, what) says it to the rooms, the sender included.
func (c *client) to(_ context.Context, e *socketio.Event) error {
	var rooms, except []string
	var what any
	if err := e.Bind(&rooms, &except, &what); err != nil {
		return err
	}
	return errors.Join(c.n.To(rooms...).Except(except...).Emit("said", what), e.Ack())
}

// toOthers(rooms, what) says it to the rooms, but not to the sender.
func (c *client) toOthers(_ context.Context, e *socketio.Event) error {
	var rooms []string
	var what any
	if err := e.Bind(&rooms, &what); err != nil {
		return err
	}
	return errors.Join(c.s.To(rooms...).Emit("said", what), e.Ack())
}

// count(namespace[, room]) answers with the number of sockets there.
func (c *client) count(ctx context.Context, e *socketio.Event) error {
	var namespace, room string
	targets := []any{&namespace, &room}
	if err := e.Bind(targets[:min(2, e.Args.Len())]...); err != nil {
		return err
	}
	n := c.app.io.Of(namespace)
	query := n.Count
	if room != "" {
		query = n.In(room).Count
	}
	members, err := query(ctx)
	if err != nil {
		return err
	}
	return e.Ack(members)
}

// flush answers with what was lost since the last flush, "" if nothing was.
func (c *client) flush(ctx context.Context, e *socketio.Event) error {
	err := c.app.io.Flush(ctx)
	switch {
	case err == nil:
		return e.Ack("")
	case errors.Is(err, socketio.ErrLost):
		return e.Ack("lost")
	default:
		return err
	}
}

// kick(close) disconnects the client.
func (c *client) kick(_ context.Context, e *socketio.Event) error {
	var closeConnection bool
	if err := e.Bind(&closeConnection); err != nil {
		return err
	}
	return c.s.Disconnect(closeConnection)
}

func (c *client) handshake(_ context.Context, e *socketio.Event) error {
	h := c.s.Handshake()
	headers := make(map[string]string, len(h.Headers))
	for name, values := range h.Headers {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return e.Ack(map[string]any{
		"headers": headers, "query": h.Query, "auth": auth(c.s), "address": h.Address, "secure": h.Secure,
		"xdomain": h.XDomain, "url": h.URL, "time": h.Time.UTC().Format(time.RFC3339Nano), "issued": h.Issued,
	})
}

func (c *client) data(_ context.Context, e *socketio.Event) error { return e.Ack(c.s.Data()) }

func (c *client) whoami(_ context.Context, e *socketio.Event) error { return e.Ack(c.app.instance) }

// gone tells the watchers which socket went, and why.
func (c *client) gone(d socketio.Disconnect) {
	_ = c.app.io.Of("/").To(watchers).Emit("gone", map[string]any{
		"namespace": c.n.Name(), "id": c.s.ID(), "reason": d.Reason, "rooms": inJavaScriptOrder(c.seen),
	}) // a watcher that hears nothing fails its scenario
}

// roomsOf reads an argument that is one room or a list of them.
func roomsOf(a socketio.Args, i int) ([]string, error) {
	targets := make([]any, i+1)
	var list []string
	targets[i] = &list
	if a.Bind(targets...) == nil {
		return list, nil
	}
	var one string
	targets[i] = &one
	return []string{one}, a.Bind(targets...)
}

// inJavaScriptOrder sorts as Array.prototype.sort does for these names, which are all below U+10000.
func inJavaScriptOrder(rooms []string) []string { return slices.Sorted(slices.Values(rooms)) }
