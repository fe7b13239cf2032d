package socketio_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/pkg/socketio"
)

type (
	Rename  struct{ To string }
	Renamed struct{ From, To string }
)

// An application: connect, register handlers, run. Every method returns its error; most programs only look at it where they
// can do something about it, since failures of what was accepted go to OnError.
func Example() {
	ctx, stop := context.WithCancel(context.Background()) // in a program signal.NotifyContext
	ended := make(chan error)
	go func() { ended <- serve(ctx, natsURL()) }() // "nats://127.0.0.1:4222", say

	ann, bob := joinSoon("/lounge", "ann"), join("/lounge", "bob") // two clients
	fmt.Println(ann.Next(), bob.Next())
	fmt.Println(ann.Ask("rename", Rename{To: "Ann"}))
	fmt.Println(ann.Ask("say", "lobby", "hello"))
	fmt.Println(bob.Next())
	ann.Leave()
	fmt.Println(bob.Next())

	stop()
	fmt.Println(<-ended)
	ctx, stop = context.WithCancel(context.Background()) // the next version, say: whoever is connected does not notice
	defer stop()
	go func() { ended <- serve(ctx, natsURL()) }()
	fmt.Println(bob.Ask("rename", Rename{To: "Bob"}))
	bob.Leave()
	stop()
	fmt.Println(<-ended)
	// Output:
	// ["welcome"] ["welcome"]
	// [{"From":"ann","To":"Ann"}]
	// ["ok"]
	// ["said","Ann","hello"]
	// ["left","Ann","client namespace disconnect"]
	// <nil>
	// [{"From":"bob","To":"Bob"}]
	// <nil>
}

func serve(ctx context.Context, url string) error {
	io, err := socketio.Connect(ctx, url, socketio.Config{App: "lounge"})
	if err != nil {
		return err
	}
	lounge := io.Of("/lounge")
	err = errors.Join(
		lounge.Use(func(_ context.Context, s *socketio.Socket) error {
			name := s.Handshake().Auth.Get("name")
			if name == "" {
				return &socketio.ConnectError{Message: "who are you?", Data: map[string]any{"missing": "name"}}
			}
			return s.Data().Set("name", name)
		}),
		lounge.OnConnection(enter),
	)
	if err != nil {
		return err
	}
	return io.Run(ctx)
}

func enter(s *socketio.Socket) {
	s.On("say", func(_ context.Context, e *socketio.Event) error {
		var room, text string
		if err := e.Bind(&room, &text); err != nil {
			return err
		}
		if err := s.To(room).Emit("said", nameOf(s), text); err != nil {
			return err
		}
		return e.Ack("ok") // does nothing if the client wants none
	})
	socketio.On(s, "rename", func(_ context.Context, in Rename) (Renamed, error) {
		from := nameOf(s)
		return Renamed{From: from, To: in.To}, s.Data().Set("name", in.To)
	})
	s.OnDisconnect(func(d socketio.Disconnect) { // d.Reason, d.Description, d.Rooms
		_ = s.To(d.Rooms...).Emit("left", nameOf(s), d.Reason)
	})
	if s.HandedOver() { // another instance had it: it is in the lobby
		return
	}
	_ = s.Join("lobby") // an error here is also one of the next operation
	_ = s.Emit("welcome")
}

func nameOf(s *socketio.Socket) (name string) {
	_, _ = s.Data().Get("name", &name) // "" if there is none
	return name
}
