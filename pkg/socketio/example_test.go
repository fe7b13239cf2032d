package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

type (
	Rename  struct{ To string }
	Renamed struct{ From, To string }
)

// An application: connect, register handlers, run. Every method returns its error; most programs only look at it where they
// can do something about it, since failures of what was accepted go to OnError.
func Example() {
	if err := serve(context.Background()); err != nil {
		fmt.Println(err)
	}
}

func serve(ctx context.Context) error {
	io, err := socketio.Connect(ctx, "nats://127.0.0.1:4222", socketio.Config{App: "chat"})
	if err != nil {
		return err
	}
	chat := io.Of("/chat")
	err = errors.Join(
		chat.Use(func(_ context.Context, s *socketio.Socket) error {
			if s.Handshake().Auth.Get("token") == "" {
				return &socketio.ConnectError{Message: "not authorized", Data: map[string]any{"retry": true}}
			}
			return nil
		}),
		chat.OnConnection(enter),
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
		if err := s.To(room).Emit("said", s.ID(), text); err != nil {
			return err
		}
		return e.Ack("ok") // does nothing if the client wants none
	})
	socketio.On(s, "rename", func(_ context.Context, in Rename) (Renamed, error) {
		var from string
		_, err := s.Data().Get("name", &from)
		return Renamed{From: from, To: in.To}, errors.Join(err, s.Data().Set("name", in.To))
	})
	s.OnDisconnect(func(d socketio.Disconnect) { // d.Reason, d.Description, d.Rooms
		_ = s.To(d.Rooms...).Emit("left", s.ID(), d.Reason)
	})
	_ = s.Join("lobby") // an error here is also one of the next operation
}

// A program that only sends needs no Run.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	io, err := socketio.Connect(ctx, "nats://127.0.0.1:4222", socketio.Config{App: "ticker"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = io.To("lobby").Except("muted").Emit("tick", time.Now())
	err = errors.Join(err, io.Flush(ctx)) // has reached the edges
	err = errors.Join(err, io.Close(ctx))
	if err != nil {
		fmt.Println(err)
	}
}

func ExampleServer_OnError() {
	var io *socketio.Server // from Connect
	io.OnError(func(err error) {
		var failure *socketio.HandlerError
		switch {
		case errors.As(err, &failure):
			fmt.Println("event", failure.Event, "of namespace", failure.Socket.Namespace().Name(), failure.Err)
		case errors.Is(err, socketio.ErrLost):
			fmt.Println("some of what was sent may not have arrived:", err)
		default:
			fmt.Println(err)
		}
	})
}

func ExampleServer_Close() {
	var io *socketio.Server // from Connect, and running
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := io.Close(ctx); err != nil {
		fmt.Println("handlers did not finish:", err)
	}
}

func ExampleNamespace_Use() {
	var io *socketio.Server // from Connect
	err := io.Of("/admin").Use(func(_ context.Context, s *socketio.Socket) error {
		if s.User() != "root" {
			return &socketio.ConnectError{Message: "not authorized"}
		}
		return s.Join("admins")
	})
	if err != nil { // only after Run
		fmt.Println(err)
	}
}

func ExampleSocket_EmitWithAck() {
	var s *socketio.Socket // in a handler, which may wait
	reply, err := s.Timeout(2*time.Second).EmitWithAck(context.Background(), "ready?")
	var ready bool
	if err = errors.Join(err, reply.Bind(&ready)); err != nil {
		fmt.Println(err)
	}
}

// A relay passes on what it does not understand, text and binary, with arguments of its own before it.
func ExampleArgs_Values() {
	var s *socketio.Socket // in a connection handler
	s.On("relay", func(_ context.Context, e *socketio.Event) error {
		return s.To("others").Emit("relayed", append([]any{s.ID()}, e.Args.Values()...)...)
	})
}

func ExampleSocket_Disconnect() {
	var s *socketio.Socket // in a handler
	s.OnDisconnecting(func(socketio.Disconnect) {
		if err := s.To(s.Rooms()...).Emit("left", s.ID()); err != nil {
			fmt.Println(err)
		}
	})
	if err := s.Disconnect(true); err != nil { // all namespaces, and the connection
		fmt.Println(err)
	}
}

func ExampleBroadcastOperator() {
	var io *socketio.Server // from Connect
	players := io.Of("/game").To("red", "blue")
	active := players.Except("paused") // players is as it was
	if err := errors.Join(players.Emit("score", 1, 2), active.Volatile().Emit("move", []byte{3, 4})); err != nil {
		fmt.Println(err)
	}
	n, err := active.Count(context.Background())
	fmt.Println(n, err)
}

func ExampleSocket_Data() {
	var s *socketio.Socket // in a handler
	if err := s.Data().Set("score", 10); err != nil {
		fmt.Println(err)
	}
	var score int
	found, err := s.Data().Get("score", &score)
	fmt.Println(found, score, err)
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

// Namespaces for every tenant, made when the first client names one.
func ExampleServer_OfRegexp() {
	var io *socketio.Server // from Connect, not running yet
	tenants := io.OfRegexp(regexp.MustCompile(`^/tenant-[a-z0-9]+$`))
	err := tenants.OnConnection(func(s *socketio.Socket) {
		_ = s.Broadcast().Emit("joined", s.ID()) // within the tenant
	})
	if err != nil { // only after Run
		fmt.Println(err)
	}
	_ = tenants.Emit("maintenance", time.Now()) // to all tenants that this instance knows
}

func ExampleServer_OfFunc() {
	var io *socketio.Server           // from Connect, not running yet
	var exists func(name string) bool // asks a database, say
	projects := io.OfFunc(func(_ context.Context, name string, _ socketio.Handshake) (bool, error) { return exists(name), nil })
	_ = projects.Use(func(_ context.Context, s *socketio.Socket) error { // who may join
		if s.User() == "" {
			return &socketio.ConnectError{Message: "not authorized"}
		}
		return nil
	})
}

func ExampleNamespace_FetchSockets() {
	var io *socketio.Server // from Connect
	sockets, err := io.Of("/chat").To("lobby").FetchSockets(context.Background())
	if err != nil { // some edges did not answer: sockets holds those of the others
		fmt.Println(err)
	}
	for _, s := range sockets { // wherever they are
		var muted bool
		if _, err := s.Data().Get("muted", &muted); err == nil && muted {
			_ = s.Leave("lobby")
		}
	}
}

func ExampleBroadcastOperator_EachSocket() {
	var io *socketio.Server // from Connect
	for s, err := range io.To("lobby").EachSocket(context.Background(), socketio.WithData) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s.ID(), s.Data().Keys())
	}
}

func ExampleBroadcastOperator_EmitWithAck() {
	var io *socketio.Server // from Connect
	replies, err := io.To("lobby").Timeout(2*time.Second).EmitWithAck(context.Background(), "ready?")
	var missing *socketio.MissingError
	if errors.As(err, &missing) {
		fmt.Println("not ready:", missing.SocketIDs)
	}
	for _, reply := range replies {
		var ready bool
		if err := reply.Bind(&ready); err == nil {
			fmt.Println(reply.SocketID, ready)
		}
	}
}

func ExampleNamespace_SocketsJoin() {
	var io *socketio.Server // from Connect
	night := io.Of("/game").To("red", "blue").Except("asleep")
	if err := errors.Join(night.SocketsJoin("night"), io.Of("/game").To("night").Emit("begins")); err != nil {
		fmt.Println(err)
	}
}

// Instances tell one another what is in their memory only.
func ExampleServer_ServerSideEmit() {
	var io *socketio.Server // from Connect
	io.OnServerSide("load?", func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack(len(io.Sockets())) })
	replies, err := io.ServerSideEmitWithAck(context.Background(), "load?")
	for _, reply := range replies {
		var n int
		fmt.Println(reply.Instance, n, reply.Args.Bind(&n))
	}
	fmt.Println(err)
}

func ExampleSocket_Use() {
	var s *socketio.Socket // in a connection handler
	s.Use(func(_ context.Context, e *socketio.Event) error {
		if e.Name == "admin" && s.User() != "root" {
			return errors.New("unauthorized event")
		}
		return nil
	})
	s.OnError(func(err error) { _ = s.Emit("failed", err.Error()) })
	s.OnAny(func(_ context.Context, e *socketio.Event) error {
		fmt.Println(e.Name, e.Args.Len())
		return nil
	})
}

// A feed runs while somebody looks at it, on whatever edge, and whoever had them join.
func ExampleNamespace_OnCreateRoom() {
	var io *socketio.Server // from Connect
	quotes := io.Of("/quotes")
	quotes.OnCreateRoom(func(room string) { fmt.Println("start", room) })
	quotes.OnDeleteRoom(func(room string) { fmt.Println("stop", room) })
}

func ExampleNamespace_ToUser() {
	var io *socketio.Server // from Connect
	chat := io.Of("/chat")
	if n, err := chat.CountUser(context.Background(), "ann"); n == 0 && err == nil {
		fmt.Println("ann is not here")
	}
	fmt.Println(chat.ToUser("ann").Emit("mail", "you have one"))
}
