package demo

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// visit is one person's connection. Its handlers run one at a time, so me needs no lock; socket.data has a copy, which a
// hand-over to another instance keeps.
type visit struct {
	n  *socketio.Namespace
	s  *socketio.Socket
	me person
}

// done is the answer to a request: Error is for the person to read.
type done struct {
	Room  string `json:"room,omitempty"`
	Error string `json:"error,omitempty"`
}

// enter announces a person and takes what their page sends.
func enter(n *socketio.Namespace, s *socketio.Socket) {
	v := &visit{n: n, s: s}
	if ok, err := s.Data().Get("me", &v.me); !ok || err != nil {
		_ = s.Disconnect(true) // admit set it, so it is there
		return
	}
	s.On("say", v.say)
	s.On("whisper", v.whisper)
	s.On("move", v.move)
	s.On("typing", v.typing)
	s.On("greet", v.greet)
	s.On("announce", v.announce)
	s.OnDisconnect(v.leave)
	if err := errors.Join(s.Emit("welcome", v.me), s.Broadcast().Emit("arrived", v.me)); err != nil {
		_ = s.Disconnect(true) // the page comes back by itself
	}
}

// say(text) says something to everybody in the room; all of them, the speaker too, hear it in one order.
func (v *visit) say(_ context.Context, e *socketio.Event) error {
	var text string
	if err := e.Bind(&text); err != nil {
		return err
	}
	if !fits(text) {
		return e.Ack(done{Error: "A message has 1 to 2000 characters."})
	}
	m := message{From: v.me, Text: text, At: time.Now().UnixMilli()}
	return errors.Join(v.n.To(inRoom(v.me.Room)).Emit("said", m), e.Ack(done{}))
}

// whisper(person, text) says something to one person, wherever they are.
func (v *visit) whisper(ctx context.Context, e *socketio.Event) error {
	var to person
	var text string
	if err := e.Bind(&to, &text); err != nil {
		return err
	}
	if !fits(text) {
		return e.Ack(done{Error: "A message has 1 to 2000 characters."})
	}
	sockets, err := v.n.In(only(to.ID)).Count(ctx)
	if err != nil {
		return err
	}
	if sockets == 0 {
		return e.Ack(done{Error: "That person has left."})
	}
	m := message{From: v.me, To: &to, Text: text, At: time.Now().UnixMilli()}
	return errors.Join(v.n.To(only(to.ID), only(v.me.ID)).Emit("whispered", m), e.Ack(done{}))
}

// move(room) goes to another room, which is there as soon as somebody is in it.
func (v *visit) move(_ context.Context, e *socketio.Event) error {
	var name string
	if err := e.Bind(&name); err != nil {
		return err
	}
	room, ok := clean(name, longestRoom)
	if !ok {
		return e.Ack(done{Error: "A room has a name of 1 to 32 characters."})
	}
	if err := errors.Join(v.s.Leave(inRoom(v.me.Room)), v.s.Join(inRoom(room))); err != nil {
		return err
	}
	v.me.Room = room
	return errors.Join(v.s.Data().Set("me", v.me), v.s.Broadcast().Emit("moved", v.me), e.Ack(done{Room: room}))
}

// typing(on) tells the room that somebody is writing, or no longer.
func (v *visit) typing(_ context.Context, e *socketio.Event) error {
	var on bool
	if err := e.Bind(&on); err != nil {
		return err
	}
	return v.s.To(inRoom(v.me.Room)).Emit("typing", v.me.ID, on)
}

// greet(id) answers a newcomer, who so learns that this person is there.
func (v *visit) greet(_ context.Context, e *socketio.Event) error {
	var id string
	if err := e.Bind(&id); err != nil {
		return err
	}
	return v.s.To(only(id)).Emit("here", v.me)
}

// announce() tells everybody that this person is still here, after an older connection of theirs has ended.
func (v *visit) announce(context.Context, *socketio.Event) error {
	return v.s.Broadcast().Emit("here", v.me)
}

func (v *visit) leave(d socketio.Disconnect) {
	lost := d.Reason != "client namespace disconnect"
	_ = v.n.Emit("left", v.me.ID, lost) // there is nobody left to tell of a failure
}

func fits(text string) bool {
	return strings.TrimSpace(text) != "" && len([]rune(text)) <= longestText
}
