package socketio_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// Middlewares let clients in, or refuse them with a message and data.
func ExampleNamespace_Use() {
	io := connect()
	admin := io.Of("/admin")
	_ = admin.Use(func(_ context.Context, s *socketio.Socket) error {
		if s.Handshake().Auth.Get("name") != "root" {
			return &socketio.ConnectError{Message: "not authorized", Data: map[string]any{"retry": true}}
		}
		return s.Join("admins") // left again if a later middleware refuses
	})
	_ = admin.OnConnection(func(s *socketio.Socket) { _ = s.Emit("welcome", len(s.Rooms())) })
	defer run(io)()
	fmt.Println(join("/admin", "ann").Next())
	fmt.Println(join("/admin", "root").Next())
	// Output:
	// connect_error {"message":"not authorized","data":{"retry":true}}
	// ["welcome",2]
}

// How many sockets there are rooms knows: in the namespace, in rooms, of this instance.
func ExampleNamespace_Counts() {
	io := connect()
	game := io.Of("/game")
	_ = game.Use(func(_ context.Context, s *socketio.Socket) error { return s.Join("waiting") })
	_ = game.OnConnection(func(*socketio.Socket) {})
	defer run(io)()
	join("/game", "ann")
	join("/game", "bob")

	ctx := context.Background()
	all, err := game.Count(ctx)
	fmt.Println(all, len(game.Sockets()), err)
	waiting, err := game.In("waiting").Count(ctx)
	fmt.Println(waiting, err)
	fmt.Println(game.Counts(ctx, "waiting", "playing"))
	// Output:
	// 2 2 <nil>
	// 2 <nil>
	// map[playing:0 waiting:2] <nil>
}

// A user has any number of sockets. Who is who the auth service says.
func ExampleNamespace_ToUser() {
	io := connect()
	members := io.Of("/members")
	_ = members.OnConnection(func(s *socketio.Socket) { _ = s.Emit("welcome", s.User()) })
	defer run(io)()
	phone, tablet, bob := join("/members", "ann"), join("/members", "ann"), join("/members", "bob")
	fmt.Println(phone.Next(), tablet.Next(), bob.Next())

	_ = members.ToUser("ann").Emit("mail", "you have one")
	_ = members.To().ExceptUser("ann").Emit("mail", "ann has one")
	fmt.Println(phone.Next(), tablet.Next(), bob.Next())
	ctx := context.Background()
	fmt.Println(members.CountUser(ctx, "ann"))
	fmt.Println(members.CountUsers(ctx, "bob", "eve"))
	// Output:
	// ["welcome","ann"] ["welcome","ann"] ["welcome","bob"]
	// ["mail","you have one"] ["mail","you have one"] ["mail","ann has one"]
	// 2 <nil>
	// map[bob:1 eve:0] <nil>
}

// A feed runs while somebody looks at it, on whatever edge, and whoever had them join.
func ExampleNamespace_OnCreateRoom() {
	io := connect()
	quotes := io.Of("/quotes")
	told := make(chan string, 8)
	isID := func(room string) bool { return len(room) == 20 } // everybody's own room
	quotes.OnCreateRoom(func(room string) {
		if !isID(room) {
			told <- "start " + room
		}
	})
	quotes.OnJoin(func(room, id string) {
		if room != id {
			told <- "somebody looks at " + room
		}
	})
	quotes.OnLeave(func(room, id string) {
		if room != id {
			told <- "somebody has left " + room
		}
	})
	off := quotes.OnDeleteRoom(func(room string) {
		if !isID(room) {
			told <- "stop " + room
		}
	})
	defer off()
	_ = quotes.OnConnection(func(s *socketio.Socket) { _ = s.Join("ACME") })
	defer run(io)()
	ann := join("/quotes", "ann")
	fmt.Println(<-told, "-", <-told)
	ann.Leave()
	fmt.Println(<-told, "-", <-told)
	// Output:
	// start ACME - somebody looks at ACME
	// somebody has left ACME - stop ACME
}

// What is done to many sockets at once is done to those that are selected then, wherever they are, in the order of the calls.
func ExampleNamespace_SocketsJoin() {
	io := connect()
	game := io.Of("/game")
	_ = game.Use(func(_ context.Context, s *socketio.Socket) error { return s.Join(s.Handshake().Auth.Get("name")) })
	_ = game.OnConnection(func(*socketio.Socket) {})
	defer run(io)()
	ann, bob := join("/game", "ann"), join("/game", "bob")

	err := errors.Join(
		game.To("ann", "bob").SocketsJoin("night"),
		game.To("night").Emit("night", "begins"),
		game.In("bob").SocketsLeave("night"),
		game.To("night").Emit("night", "goes on"),
		game.Except("night").DisconnectSockets(false), // true also closes their connections
	)
	fmt.Println(err)
	fmt.Println(ann.Next(), ann.Next())
	fmt.Println(bob.Next(), bob.Next())
	// Output:
	// <nil>
	// ["night","begins"] ["night","goes on"]
	// ["night","begins"] disconnect
}
