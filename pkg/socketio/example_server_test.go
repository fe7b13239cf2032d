package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// A program that only sends needs no Run.
func ExampleConnect() {
	chat := connect()
	_ = chat.OnConnection(func(s *socketio.Socket) { _ = errors.Join(s.Join("lobby"), s.Emit("welcome")) })
	defer run(chat)()
	ann := join("/", "ann")
	fmt.Println(ann.Next())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	io, err := socketio.Connect(ctx, natsURL(), socketio.Config{App: "ticker", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = io.To("lobby").Except("muted").Emit("tick", 1)
	err = errors.Join(err, io.Flush(ctx)) // has reached the edges
	err = errors.Join(err, io.Close(ctx))
	fmt.Println(ann.Next(), err)
	// Output:
	// ["welcome"]
	// ["tick",1] <nil>
}

// Close lets the handlers that run finish, and what they do reaches the clients. These stay: another instance takes them over.
func ExampleServer_Close() {
	io := connect()
	entered := make(chan bool, 1)
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("order", func(_ context.Context, e *socketio.Event) error {
			entered <- true
			return e.Ack("done")
		})
	})
	ended := make(chan error, 1)
	go func() { ended <- io.Run(context.Background()) }()
	ann := join("/", "ann")
	reply := make(chan string, 1)
	go func() { reply <- ann.Ask("order") }()
	<-entered

	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err := io.Close(ctx)
	fmt.Println(err, <-ended, <-reply)
	fmt.Println(io.Emit("too late"))

	next := connect()
	_ = next.OnConnection(func(s *socketio.Socket) {
		fmt.Println("handed over:", s.HandedOver())
		s.On("order", func(_ context.Context, e *socketio.Event) error { return e.Ack("done again") })
	})
	defer run(next)()
	fmt.Println(ann.Ask("order"))
	// Output:
	// <nil> <nil> ["done"]
	// socketio: closed
	// handed over: true
	// ["done again"]
}

// What no method can return goes to OnError.
func ExampleServer_OnError() {
	io := connect()
	failed := make(chan string, 1)
	io.OnError(func(err error) {
		var failure *socketio.HandlerError
		switch {
		case errors.As(err, &failure):
			failed <- fmt.Sprintf("event %s of namespace %s: %v", failure.Event, failure.Socket.Namespace().Name(), failure.Err)
		case errors.Is(err, socketio.ErrLost):
			failed <- "some of what was sent may not have arrived"
		default:
			failed <- err.Error()
		}
	})
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("say", func(_ context.Context, e *socketio.Event) error {
			var text string
			return e.Bind(&text)
		})
	})
	defer run(io)()
	join("/", "ann").Emit("say")
	fmt.Println(<-failed)
	// Output: event say of namespace /: socketio: missing argument: 1 of 1
}

// Flush waits for all that this instance did, Confirmed for one piece of work in one namespace.
func ExampleServer_Confirmed() {
	io := connect()
	_ = io.Of("/news").OnConnection(func(s *socketio.Socket) { _ = s.Emit("welcome") })
	defer run(io)()
	ann := join("/news", "ann")
	ann.Next()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := io.Confirmed(ctx, "/news", func(news *socketio.Namespace) error {
		return errors.Join(news.SocketsJoin("readers"), news.To("readers").Emit("headline", "it works"))
	})
	fmt.Println(err, ann.Next()) // the edges have it
	fmt.Println(io.Flush(ctx))
	// Output:
	// <nil> ["headline","it works"]
	// <nil>
}

// Namespaces are separate, on one connection of a client. Without Of the namespace is "/".
func ExampleServer_Of() {
	io := connect()
	welcome := func(s *socketio.Socket) { _ = s.Emit("welcome", s.Namespace().Name()) }
	_ = io.OnConnection(welcome)
	admin := io.Of("admin") // "/admin"
	_ = admin.OnConnection(welcome)
	defer run(io)()

	ann, root := join("/", "ann"), join("/admin", "root")
	fmt.Println(ann.Next(), root.Next())
	_ = io.Emit("to", "all of /")
	_ = admin.Emit("to", "all of /admin")
	fmt.Println(ann.Next(), root.Next())
	// Output:
	// ["welcome","/"] ["welcome","/admin"]
	// ["to","all of /"] ["to","all of /admin"]
}

// Namespaces for every tenant, made when the first client names one.
func ExampleServer_OfRegexp() {
	io := connect()
	tenants := io.OfRegexp(regexp.MustCompile(`^/tenant-[a-z0-9]+$`))
	_ = tenants.OnConnection(func(s *socketio.Socket) { _ = s.Emit("welcome", s.Namespace().Name()) })
	io.OnNewNamespace(func(n *socketio.Namespace) { fmt.Println("new:", n.Name()) })
	defer run(io)()

	one, two := join("/tenant-1", "ann"), join("/tenant-2", "bob")
	fmt.Println(one.Next(), two.Next(), len(tenants.Children()))
	_ = tenants.Emit("maintenance", "at noon") // to all tenants that this instance knows
	fmt.Println(one.Next(), two.Next())
	fmt.Println(join("/tenants", "ann").Next())
	// Output:
	// new: /tenant-1
	// new: /tenant-2
	// ["welcome","/tenant-1"] ["welcome","/tenant-2"] 2
	// ["maintenance","at noon"] ["maintenance","at noon"]
	// connect_error {"message":"Invalid namespace"}
}

// A function decides which namespaces there are, asking a database, say.
func ExampleServer_OfFunc() {
	io := connect()
	projects := io.OfFunc(func(_ context.Context, name string, h socketio.Handshake) (bool, error) {
		return name == "/project-7" && h.Auth.Get("name") != "", nil
	})
	_ = projects.Use(func(_ context.Context, s *socketio.Socket) error { // who may join
		if s.Handshake().Auth.Get("name") != "ann" {
			return &socketio.ConnectError{Message: "not authorized"}
		}
		return nil
	})
	_ = projects.OnConnection(func(s *socketio.Socket) { _ = s.Emit("welcome") })
	defer run(io)()
	for _, namespace := range []string{"/project-7", "/project-8"} {
		fmt.Println(join(namespace, "ann").Next(), join(namespace, "bob").Next())
	}
	// Output:
	// ["welcome"] connect_error {"message":"not authorized"}
	// connect_error {"message":"Invalid namespace"} connect_error {"message":"Invalid namespace"}
}

// Instances tell one another what is in their memory only.
func ExampleServer_ServerSideEmit() {
	one, two := connect(), connect()
	heard := make(chan string, 1)
	for _, io := range []*socketio.Server{one, two} {
		_ = io.OnConnection(func(*socketio.Socket) {})
		io.OnServerSide("forget", func(_ context.Context, e *socketio.ServerEvent) error {
			var key string
			err := e.Args.Bind(&key)
			heard <- key
			return err
		})
		io.OnServerSide("load?", func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack(len(io.Sockets())) })
	}
	defer run(one, two)()

	_ = one.ServerSideEmit("forget", "prices") // not to itself
	fmt.Println("two is to forget", <-heard)
	replies, err := one.ServerSideEmitWithAck(context.Background(), "load?")
	for _, reply := range replies { // of reply.Instance
		var sockets int
		err = errors.Join(err, reply.Args.Bind(&sockets))
		fmt.Println("another has", sockets, "sockets")
	}
	fmt.Println(err)
	// Output:
	// two is to forget prices
	// another has 0 sockets
	// <nil>
}
