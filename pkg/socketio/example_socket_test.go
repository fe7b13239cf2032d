package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// Handlers of one socket run one at a time, in the order of its events.
func ExampleSocket_On() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		off := s.On("count", func(_ context.Context, e *socketio.Event) error { return e.Ack("counting") })
		s.Once("first", func(_ context.Context, e *socketio.Event) error { return e.Ack(s.EventNames()) })
		s.On("stop", func(_ context.Context, e *socketio.Event) error {
			off() // this registration; s.Off("count") would remove all of the event
			s.Off("first")
			return e.Ack(s.EventNames())
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	fmt.Println(ann.Ask("count"), ann.Ask("first"), ann.Ask("stop"))
	// Output: ["counting"] [["count","stop"]] [["stop"]]
}

// The typed form: the first argument is decoded, the result is the acknowledgement, and so is an error.
func ExampleOn() {
	type Sum struct{ A, B int }
	io := connect()
	io.OnError(func(error) {}) // hears the error as well
	_ = io.OnConnection(func(s *socketio.Socket) {
		socketio.On(s, "sum", func(_ context.Context, in Sum) (int, error) { return in.A + in.B, nil })
		socketio.On(s, "div", func(_ context.Context, in Sum) (int, error) {
			if in.B == 0 {
				return 0, errors.New("division by zero")
			}
			return in.A / in.B, nil
		})
		socketio.On(s, "ping", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	})
	defer run(io)()
	ann := join("/", "ann")
	fmt.Println(ann.Ask("sum", Sum{1, 2}), ann.Ask("div", Sum{1, 0}), ann.Ask("ping"))
	// Output: [3] [{"error":"division by zero"}] []
}

// What one goroutine emits arrives in that order, binary too.
func ExampleSocket_Emit() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		_ = s.Emit("hello", "ann", map[string]int{"n": 1}, []byte{1, 2, 255})
		_ = s.Send("an event named message")
		_ = s.Volatile().Emit("position", 1.5) // dropped if the client cannot take it at once
		_ = s.Compress(false).Emit("picture", socketio.Binary{0})
		fmt.Println(s.Emit("disconnect"))
		fmt.Println(errors.Is(s.Emit("nonsense", func() {}), socketio.ErrEncode))
	})
	defer run(io)()
	ann := join("/", "ann")
	for range 4 {
		fmt.Println(ann.Next())
	}
	// Unordered output:
	// "disconnect" is a reserved event name
	// true
	// ["hello","ann",{"n":1},<0102ff>]
	// ["message","an event named message"]
	// ["position",1.5]
	// ["picture",<00>]
}

// A handler, the connection handler too, may wait for its client.
func ExampleSocket_EmitWithAck() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("start", func(ctx context.Context, e *socketio.Event) error {
			reply, err := s.EmitWithAck(ctx, "who?") // as long as the client stays
			var name string
			if err = errors.Join(err, reply.Bind(&name)); err != nil {
				return err
			}
			_, err = s.Timeout(50*time.Millisecond).EmitWithAck(ctx, "silence?")
			return e.Ack(name, errors.Is(err, socketio.ErrTimeout), err.Error())
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	ann.Answer("who?", "ann")
	fmt.Println(ann.Ask("start"))
	// Output: ["ann",true,"operation has timed out"]
}

// Rooms are names for any number of sockets; what is done after a join includes who joined.
func ExampleSocket_Join() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("enter", func(_ context.Context, e *socketio.Event) error {
			var room string
			return errors.Join(
				e.Bind(&room),
				s.Join(room),
				s.To(room).Emit("entered"), // the others
				e.Ack(len(s.Rooms()), s.Rooms()[0] == s.ID()),
			)
		})
		s.On("exit", func(_ context.Context, e *socketio.Event) error {
			return errors.Join(s.Leave("hall"), e.Ack(len(s.Rooms())))
		})
	})
	defer run(io)()
	ann, bob := join("/", "ann"), join("/", "bob")
	fmt.Println(ann.Ask("enter", "hall"), bob.Ask("enter", "hall"), ann.Next(), bob.Ask("exit"))
	// Output: [2,true] [2,true] ["entered"] [1]
}

// From a socket everybody else is meant.
func ExampleSocket_Broadcast() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("enter", func(_ context.Context, e *socketio.Event) error { return errors.Join(s.Join("hall"), e.Ack()) })
		s.On("say", func(_ context.Context, e *socketio.Event) error {
			return errors.Join(
				s.Broadcast().Emit("to all others"),
				s.In("hall").Emit("to others in the hall"),
				s.Except("hall").Emit("to others elsewhere"),
				s.Emit("to the sender"),
			)
		})
	})
	defer run(io)()
	ann, bob, eve := join("/", "ann"), join("/", "bob"), join("/", "eve")
	ann.Ask("enter")
	bob.Ask("enter")
	ann.Emit("say")
	fmt.Println(ann.Next())
	fmt.Println(bob.Next(), bob.Next())
	fmt.Println(eve.Next(), eve.Next())
	// Output:
	// ["to the sender"]
	// ["to all others"] ["to others in the hall"]
	// ["to all others"] ["to others elsewhere"]
}

// Data belongs to the socket, and is seen by FetchSockets anywhere.
func ExampleSocket_Data() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("score", func(_ context.Context, e *socketio.Event) error {
			var score, more int
			_, err := s.Data().Get("score", &score) // false if there is none
			err = errors.Join(err, e.Bind(&more), s.Data().Set("score", score+more))
			return errors.Join(err, e.Ack(s.Data(), s.Data().Keys()))
		})
		s.On("reset", func(_ context.Context, e *socketio.Event) error {
			return errors.Join(s.Data().Delete("score"), e.Ack(s.Data()))
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	fmt.Println(ann.Ask("score", 10), ann.Ask("score", 5), ann.Ask("reset"))
	// Output: [{"score":10},["score"]] [{"score":15},["score"]] [{}]
}

// State that is in memory, and not in Data, is put there before another instance takes the socket over.
func ExampleSocket_OnHandOver() {
	instance := func() *socketio.Server {
		io := connect()
		_ = io.OnConnection(func(s *socketio.Socket) {
			var count int // for each event one more: no lock, since the handlers of a socket run one at a time
			if s.HandedOver() {
				_, _ = s.Data().Get("count", &count)
			}
			s.OnHandOver(func() { _ = s.Data().Set("count", count) })
			s.On("count", func(_ context.Context, e *socketio.Event) error {
				count++
				return e.Ack(count)
			})
		})
		return io
	}
	first := instance()
	end := make(chan error)
	go func() { end <- first.Run(context.Background()) }()
	ann := join("/", "ann")
	fmt.Println(ann.Ask("count"), ann.Ask("count"))
	fmt.Println(first.Close(context.Background()), <-end)

	defer run(instance())() // it could as well have been there before
	fmt.Println(ann.Ask("count"))
	// Output:
	// [1] [2]
	// <nil> <nil>
	// [3]
}

// Who the client is, by what it sent and how it came.
func ExampleSocket_Handshake() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		h := s.Handshake()
		var auth struct{ Name string }
		err := h.Auth.Bind(&auth)
		_ = s.Emit("you are", auth.Name, h.Auth.Get("name"), h.Auth.JSON(), h.Query["EIO"], h.Address, h.Secure, err)
		at := s.Conn() // when the client joined; CurrentConn asks its edge
		now, err := s.CurrentConn(context.Background())
		_ = s.Emit("you come by", at.Transport, now.Transport, now.Protocol, s.Connected(), s.Recovered(), fmt.Sprint(err))
	})
	defer run(io)()
	ann := join("/", "ann")
	fmt.Println(ann.Next())
	fmt.Println(ann.Next())
	// Output:
	// ["you are","ann","ann",{"name":"ann","token":"ann"},"4","127.0.0.1",false,null]
	// ["you come by","websocket","websocket",4,true,false,"<nil>"]
}

// The rooms are there until OnDisconnecting has run, and OnDisconnect is told which they were.
func ExampleSocket_Disconnect() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		_ = s.Join("hall")
		s.OnDisconnecting(func(d socketio.Disconnect) { _ = s.To("hall").Emit("leaves", len(s.Rooms())) })
		s.OnDisconnect(func(d socketio.Disconnect) { _ = io.To("hall").Emit("left", d.Reason, len(d.Rooms), len(s.Rooms())) })
		s.On("quit", func(context.Context, *socketio.Event) error {
			return errors.Join(s.Emit("bye"), s.Disconnect(false)) // true also closes the connection
		})
		_ = s.Emit("welcome")
	})
	defer run(io)()
	ann, bob := join("/", "ann"), join("/", "bob")
	ann.Next()
	bob.Next()
	ann.Emit("quit")
	fmt.Println(ann.Next(), ann.Next())
	fmt.Println(bob.Next(), bob.Next())
	// Output:
	// ["bye"] disconnect
	// ["leaves",2] ["left","server namespace disconnect",2,0]
}
