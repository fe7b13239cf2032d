package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

type (
	Rename  struct{ To string }
	Renamed struct{ From, To string }
)

// An application: connect, register handlers, run.
func Example() {
	ctx := context.Background()
	io, err := socketio.Connect(ctx, "nats://127.0.0.1:4222", socketio.Config{App: "chat"})
	if err != nil {
		log.Fatal(err)
	}
	io.Of("/chat").Use(func(ctx context.Context, s *socketio.Socket) error {
		if s.Handshake().Auth.Get("token") == "" {
			return &socketio.ConnectError{Message: "not authorized", Data: map[string]any{"retry": true}}
		}
		return nil
	})
	io.Of("/chat").OnConnection(func(s *socketio.Socket) {
		s.On("say", func(ctx context.Context, e *socketio.Event) error {
			var room, text string
			if err := e.Bind(&room, &text); err != nil {
				return err
			}
			s.To(room).Emit("said", s.ID(), text)
			return e.Ack("ok")
		})
		socketio.On(s, "rename", func(ctx context.Context, in Rename) (Renamed, error) {
			var from string
			_, err := s.Data().Get("name", &from)
			return Renamed{From: from, To: in.To}, errors.Join(err, s.Data().Set("name", in.To))
		})
		s.OnDisconnect(func(d socketio.Disconnect) { log.Println(d.Reason, d.Description, d.Rooms) })
		s.Join("lobby")
	})
	if err := io.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// A program that only sends needs no Run.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	io, err := socketio.Connect(ctx, "nats://127.0.0.1:4222", socketio.Config{App: "ticker"})
	if err != nil {
		log.Fatal(err)
	}
	defer io.Close(ctx)
	if err := io.To("lobby").Except("muted").Volatile().Emit("tick", time.Now()); err != nil {
		log.Println(err)
	}
	if err := io.Flush(ctx); err != nil { // everything sent so far has reached the edges
		log.Println(err)
	}
}

func ExampleServer_OnError() {
	var io *socketio.Server // from Connect
	io.OnError(func(err error) {
		var failure *socketio.HandlerError
		switch {
		case errors.As(err, &failure):
			log.Println("event", failure.Event, "of namespace", failure.Socket.Namespace().Name(), failure.Err)
		case errors.Is(err, socketio.ErrLost):
			log.Println("some of what was sent may not have arrived:", err)
		default:
			log.Println(err)
		}
	})
}

func ExampleServer_Close() {
	var io *socketio.Server // from Connect, and running
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := io.Close(ctx); err != nil {
		log.Println("handlers did not finish:", err)
	}
}

func ExampleNamespace_Use() {
	var io *socketio.Server // from Connect
	io.Of("/admin").Use(func(_ context.Context, s *socketio.Socket) error {
		if s.User() != "root" {
			return &socketio.ConnectError{Message: "not authorized"}
		}
		return s.Join("admins")
	})
}

func ExampleSocket_EmitWithAck() {
	var io *socketio.Server // from Connect
	io.OnConnection(func(s *socketio.Socket) {
		reply, err := s.Timeout(2*time.Second).EmitWithAck(context.Background(), "ready?")
		var ready bool
		if err := errors.Join(err, reply.Bind(&ready)); err != nil {
			log.Println(err)
		}
	})
}

func ExampleSocket_Disconnect() {
	var s *socketio.Socket // in a handler
	s.OnDisconnecting(func(socketio.Disconnect) {
		for _, room := range s.Rooms() {
			s.To(room).Emit("left", s.ID())
		}
	})
	if err := s.Disconnect(true); err != nil { // all namespaces, and the connection
		log.Println(err)
	}
}

func ExampleBroadcastOperator() {
	var io *socketio.Server // from Connect
	players := io.Of("/game").To("red", "blue")
	active := players.Except("paused") // players is as it was
	if err := errors.Join(players.Emit("score", 1, 2), active.Volatile().Emit("move", []byte{3, 4})); err != nil {
		log.Println(err)
	}
	n, err := active.Count(context.Background())
	log.Println(n, err)
}

func ExampleSocket_Data() {
	var s *socketio.Socket // in a handler
	if err := s.Data().Set("score", 10); err != nil {
		log.Println(err)
	}
	var score int
	found, err := s.Data().Get("score", &score)
	log.Println(found, score, err)
}

func ExampleOn() {
	type Sum struct{ A, B int }
	var s *socketio.Socket // in a connection handler
	socketio.On(s, "sum", func(_ context.Context, in Sum) (int, error) { return in.A + in.B, nil })
	socketio.On(s, "ping", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
}

func ExampleReservedEventError() {
	err := error(&socketio.ReservedEventError{Event: "disconnect"})
	fmt.Println(err)
	// Output: "disconnect" is a reserved event name
}

func ExampleConnectError() {
	err := fmt.Errorf("check the ticket: %w", &socketio.ConnectError{Message: "ticket expired", Data: map[string]int{"code": 17}})
	var refusal *socketio.ConnectError
	fmt.Println(errors.As(err, &refusal), refusal.Message)
	// Output: true ticket expired
}
