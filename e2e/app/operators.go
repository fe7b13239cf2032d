package main

import (
	"context"
	"errors"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// remoteWait is how long askRemote waits for each answer.
const remoteWait = 5 * time.Second

// selection is a chain of calls on a BroadcastOperator, as a client writes it down.
type selection struct {
	Others   bool     `json:"others"` // from the socket, which is left out, and not from its namespace
	Parent   bool     `json:"parent"` // from the parent of dynamic namespaces
	To       []string `json:"to"`
	Except   []string `json:"except"`
	Users    []string `json:"users"`
	NotUsers []string `json:"notUsers"`
	Local    bool     `json:"local"`
	Volatile bool     `json:"volatile"`
	Plain    bool     `json:"plain"`   // not compressed
	Timeout  int      `json:"timeout"` // milliseconds
}

// operators adds handlers whose first argument is a selection: what is done to the sockets it selects.
func (c *client) operators() {
	for event, h := range map[string]func(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error{
		"emit-to": emitTo, "send-to": sendTo, "ask-to": askTo, "ask-each": c.askEach,
		"sockets-join": socketsJoin, "sockets-leave": socketsLeave, "disconnect-sockets": disconnectSockets,
		"ids-of": idsOf, "count-of": countOf, "fetch": fetch, "ask-remote": askRemote, "do-remote": doRemote,
	} {
		c.s.On(event, func(ctx context.Context, e *socketio.Event) error {
			var s selection
			if err := e.Bind(&s); err != nil {
				return err
			}
			return h(ctx, e, c.selected(s))
		})
	}
}

func (c *client) selected(s selection) socketio.BroadcastOperator {
	b := c.n.Except()
	switch {
	case s.Others:
		b = c.s.Broadcast()
	case s.Parent:
		b = c.app.dynamic.Except()
	}
	b = b.To(s.To...).Except(s.Except...).ToUser(s.Users...).ExceptUser(s.NotUsers...)
	if s.Local {
		b = b.Local()
	}
	if s.Volatile {
		b = b.Volatile()
	}
	if s.Plain {
		b = b.Compress(false)
	}
	if s.Timeout > 0 {
		b = b.Timeout(time.Duration(s.Timeout) * time.Millisecond)
	}
	return b
}

// emitTo(selection, event, …) says the rest, as it came.
func emitTo(_ context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	var event string
	if err := e.Bind(nil, &event); err != nil {
		return err
	}
	return errors.Join(b.Emit(event, e.Args.Values()[2:]...), e.Ack())
}

// sendTo(selection, …) sends the rest.
func sendTo(_ context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	return errors.Join(b.Send(e.Args.Values()[1:]...), e.Ack())
}

// answers is how a question to many ended.
type answers struct {
	Replies map[string]any `json:"replies"` // by socket id
	Missing []string       `json:"missing"`
	Error   string         `json:"error"`
}

func (a *answers) end(err error) {
	var missing *socketio.MissingError
	if errors.As(err, &missing) {
		a.Missing = missing.SocketIDs
	}
	if err != nil {
		a.Error = err.Error()
	}
}

// askTo(selection, …) asks "question" and answers with the replies, and who did not answer.
func askTo(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	replies, err := b.EmitWithAck(ctx, "question", e.Args.Values()[1:]...)
	a := answers{Replies: make(map[string]any, len(replies))}
	for _, r := range replies {
		a.Replies[r.SocketID] = only(r.Args())
	}
	a.end(err)
	return e.Ack(a)
}

// askEach(selection, …) is askTo that tells the client of each reply as it comes.
func (c *client) askEach(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	a := answers{Replies: map[string]any{}}
	for r, err := range b.EachAck(ctx, "question", e.Args.Values()[1:]...) { //nolint:contextcheck // what is sent as replies come takes none
		if err != nil {
			a.end(err)
			continue
		}
		a.Replies[r.SocketID] = only(r.Args())
		if err := c.s.Emit("reply", r.SocketID, only(r.Args())); err != nil {
			return err
		}
	}
	return e.Ack(a)
}

// only returns the argument, nil if there is none: inside an object it can be sent once it is decoded.
func only(a socketio.Args) (arg any) {
	if err := a.Bind(&arg); err != nil && !errors.Is(err, socketio.ErrMissingArgument) {
		return err.Error()
	}
	return arg
}

// socketsJoin(selection, rooms), and so on.
func socketsJoin(_ context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	rooms, err := roomsOf(e.Args, 1)
	return errors.Join(err, b.SocketsJoin(rooms...), e.Ack())
}

func socketsLeave(_ context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	rooms, err := roomsOf(e.Args, 1)
	return errors.Join(err, b.SocketsLeave(rooms...), e.Ack())
}

func disconnectSockets(_ context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	var closeConnections bool
	return errors.Join(e.Bind(nil, &closeConnections), b.DisconnectSockets(closeConnections), e.Ack())
}

func idsOf(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	ids, err := b.SocketIDs(ctx)
	return errors.Join(err, e.Ack(append([]string{}, ids...)))
}

func countOf(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	n, err := b.Count(ctx)
	return errors.Join(err, e.Ack(n))
}

// fetch(selection) answers with what the sockets are like, by id.
func fetch(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	sockets, err := b.FetchSockets(ctx)
	if err != nil {
		return err
	}
	found := make(map[string]any, len(sockets))
	for _, s := range sockets {
		found[s.ID()] = map[string]any{
			"rooms": inJavaScriptOrder(s.Rooms()), "data": s.Data(), "user": s.User(), "namespace": s.Namespace().Name(),
			"query": s.Handshake().Query,
		}
	}
	return e.Ack(found)
}

// askRemote(selection, …) asks each of them "question", one after the other, and answers with the replies.
func askRemote(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	sockets, err := b.FetchSockets(ctx)
	if err != nil {
		return err
	}
	replies := make(map[string]any, len(sockets))
	for _, s := range sockets {
		args, err := s.Timeout(remoteWait).EmitWithAck(ctx, "question", e.Args.Values()[1:]...)
		if replies[s.ID()] = only(args); err != nil {
			replies[s.ID()] = err.Error()
		}
	}
	return e.Ack(replies)
}

// doRemote(selection, room, old room) lets each of them join a room and leave another, says and sends them "moved", and
// disconnects those in the room "ends".
func doRemote(ctx context.Context, e *socketio.Event, b socketio.BroadcastOperator) error {
	var room, left string
	if err := e.Bind(nil, &room, &left); err != nil {
		return err
	}
	sockets, err := b.FetchSockets(ctx)
	for _, s := range sockets {
		err = errors.Join(err, s.Join(room), s.Leave(left), s.Emit("moved", room), s.Send("moved", []byte(left)))
		for _, r := range s.Rooms() {
			if r == "ends" {
				err = errors.Join(err, s.Disconnect(false))
			}
		}
	}
	return errors.Join(err, e.Ack())
}
