package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestAcksAnywhere(t *testing.T) {
	t.Parallel()
	sockets := make(chan *socketio.Socket, 64)
	play(t, func(io *socketio.Server) {
		_ = io.Of("/acks").OnConnection(func(s *socketio.Socket) {
			s.On("several", func(_ context.Context, e *socketio.Event) error {
				if e.Args.Len() != 2 || !e.WantsAck() { // SOC-007: the acknowledgement is not one of the arguments
					t.Errorf("got %d arguments, wants an answer: %v", e.Args.Len(), e.WantsAck())
				}
				return errors.Join(e.Ack("ok", []int{1}, nil), e.Ack("again")) // SOC-005, SOC-008
			})
			s.On("none", func(_ context.Context, e *socketio.Event) error { return e.Ack() })
			sockets <- s
		})
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		for range 6 {
			k := c.join("/acks")
			s := <-sockets
			k.send(`42/acks,7["several",1,{}]`)
			k.send(`42/acks,8["none"]`)
			k.expect(`43/acks,7["ok",[1],null]`, `43/acks,8[]`) // SOC-005, SOC-008, SOC-009
			askLate(t, s, k)
			type result struct {
				args socketio.Args
				err  error
			}
			done := make(chan result, 1)
			go func() { // received below
				args, err := s.Timeout(patience).EmitWithAck(t.Context(), "in time", 1)
				done <- result{args, err}
			}()
			k.answer(k.question("in time"), `"yes",2`)
			got := <-done
			var word string
			var n int
			if err := errors.Join(got.err, got.args.Bind(&word, &n)); err != nil || word != "yes" || n != 2 { // SOC-006, SOC-010, SOC-039, SOC-040
				t.Errorf("got %q %d, %v", word, n, err)
			}
			go func() { // received below
				args, err := s.EmitWithAck(t.Context(), "for ever")
				done <- result{args, err}
			}()
			k.question("for ever")
			_ = k.conn.Close()
			if got := <-done; !errors.Is(got.err, socketio.ErrDisconnected) { // SOC-042
				t.Errorf("got %v", got.err)
			}
		}
	})
}

// askLate lets the client answer too late, which must be of no effect.
func askLate(t *testing.T, s *socketio.Socket, k *client) {
	t.Helper()
	for _, timeout := range []time.Duration{0, time.Millisecond} {
		args, err := s.Timeout(timeout).EmitWithAck(t.Context(), "late")
		if !errors.Is(err, socketio.ErrTimeout) || err.Error() != "operation has timed out" || args.Len() != 0 { // SOC-038, SOC-040
			t.Errorf("%v: got %v, %v", timeout, args, err)
		}
	}
	answered := make(chan error, 1)
	go func() { // received below
		args, err := s.Timeout(patience).EmitWithAck(t.Context(), "next")
		var word string
		if err = errors.Join(err, args.Bind(&word)); word != "right" { // SOC-041: the late ones are nobody's answer
			err = errors.Join(err, fmt.Errorf("got %q", word))
		}
		answered <- err
	}()
	late := []int{k.question("late"), k.question("late")}
	next := k.question("next")
	for _, id := range late {
		k.answer(id, `"late"`)
		k.answer(id, `"twice"`)
	}
	k.answer(next, `"right"`)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestEchoAnywhere(t *testing.T) {
	play(t, func(io *socketio.Server) {
		_ = io.Of("/echo").OnConnection(func(s *socketio.Socket) {
			s.OnAny(func(_ context.Context, e *socketio.Event) error { return s.Emit(e.Name, e.Args.Values()...) })
			s.On("message", func(context.Context, *socketio.Event) error { return nil })
		})
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		for range 3 {
			k := c.join("/echo")
			for _, event := range []string{
				`["e",1,-2.5,"three",[4,[5]],{"b":6,"a":{"z":7,"y":8}},false,true,null]`, // SOC-001; the keys keep their order
				`["message",null]`,         // SOC-003
				`["ключ 🌍\t","utf 8 — 𝄞"]`, // SOC-004
				`["a.> * spaces 🌍"]`, `[""]`, `["e",""]`,
			} {
				k.send("42/echo," + event)
				k.expect("42/echo," + event)
			}
			k.send(`452-/echo,["e",{"_placeholder":true,"num":0},"text",{"in":[{"_placeholder":true,"num":1}]}]`)
			k.binary("one")
			k.binary("")
			k.expect(`452-/echo,["e",{"_placeholder":true,"num":0},"text",{"in":[{"_placeholder":true,"num":1}]}]`, "one", "") // SOC-002
			for i := range 200 {
				k.send(fmt.Sprintf(`42/echo,["n",%d]`, i))
			}
			for i := range 200 { // SOC-011
				k.expect(fmt.Sprintf(`42/echo,["n",%d]`, i))
			}
		}
		k := c.join("/echo")
		large := fmt.Sprintf(`42/echo,["large",%q]`, strings.Repeat("0123456789", 300_000))
		data := strings.Repeat("\x00\xff\x7f", 1_000_000)
		for range 3 { // SOC-012
			k.send(large)
			if got := k.next(); got != large {
				t.Fatalf("%d bytes of JSON came back as %d", len(large), len(got))
			}
			k.send(`451-/echo,["large",{"_placeholder":true,"num":0}]`)
			k.binary(data)
			k.expect(`451-/echo,["large",{"_placeholder":true,"num":0}]`)
			if got := k.next(); got != data {
				t.Fatalf("%d bytes of binary came back as %d", len(data), len(got))
			}
		}
	})
}
