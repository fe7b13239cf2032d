package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// intoRooms is an application whose clients are in a room by their name, and in "all".
func intoRooms(io *socketio.Server) {
	_ = io.Use(func(_ context.Context, s *socketio.Socket) error {
		return errors.Join(s.Join("all", s.Handshake().Auth.Get("name")), s.Data().Set("name", s.Handshake().Auth.Get("name")))
	})
	_ = io.OnConnection(func(*socketio.Socket) {})
}

// An operator is a value: each method returns a new one, and none is changed.
func ExampleBroadcastOperator() {
	io := connect()
	intoRooms(io)
	defer run(io)()
	ann, bob := join("/", "ann"), join("/", "bob")

	players := io.To("all", "ann") // once each, though ann is in both
	others := players.Except("ann")
	err := errors.Join(
		players.Emit("score", 1, 2),
		others.Compress(false).Send("not for ann"),
		players.Volatile().Emit("move", []byte{3, 4}), // may be dropped
		io.Local().Emit("here"),                       // to those of this instance
		players.Emit("end"),
	)
	fmt.Println(err)
	for range 4 {
		fmt.Println(ann.Next())
	}
	fmt.Println(bob.Next(), bob.Next())
	// Output:
	// <nil>
	// ["score",1,2]
	// ["move",<0304>]
	// ["here"]
	// ["end"]
	// ["score",1,2] ["message","not for ann"]
}

// Each client's first argument comes back, and who is silent is known.
func ExampleBroadcastOperator_EmitWithAck() {
	io := connect()
	intoRooms(io)
	defer run(io)()
	ann := join("/", "ann")
	join("/", "bob") // never answers
	ann.Answer("ready?", true)

	replies, err := io.To("all").Timeout(2*time.Second).EmitWithAck(context.Background(), "ready?")
	for _, reply := range replies { // of reply.SocketID
		var ready bool
		fmt.Println(reply.Bind(&ready), ready, string(reply.Raw()), reply.Args().Len())
	}
	var missing *socketio.MissingError
	if errors.As(err, &missing) {
		fmt.Println(len(missing.SocketIDs), "missing:", missing.Err)
	}
	// Output:
	// <nil> true true 1
	// 1 missing: operation has timed out
}

// The first of many to answer is enough.
func ExampleBroadcastOperator_EachAck() {
	io := connect()
	intoRooms(io)
	defer run(io)()
	ann, bob := join("/", "ann"), join("/", "bob")
	ann.Answer("offer?", 17)
	bob.Answer("offer?", 17)
	for reply, err := range io.To("all").EachAck(context.Background(), "offer?") {
		if err != nil {
			fmt.Println(err)
			break
		}
		var price int
		fmt.Println(reply.Bind(&price), price)
		break // the others are not waited for
	}
	// Output: <nil> 17
}

// Sockets are found wherever they are, by any program of the mesh.
func ExampleBroadcastOperator_FetchSockets() {
	io, elsewhere := connect(), connect()
	intoRooms(io)
	defer run(io)()
	ann := join("/", "ann")
	join("/", "bob")

	ctx := context.Background()
	sockets, err := elsewhere.In("ann").FetchSockets(ctx)
	if err != nil { // some edges did not answer: sockets holds those of the others
		fmt.Println(err)
	}
	for _, s := range sockets {
		var name string
		_, err := s.Data().Get("name", &name)
		fmt.Println(name, s.Data().Keys(), len(s.Rooms()), s.ID() == ann.ID(), s.Namespace().Name(), err)
	}
	ids, err := elsewhere.SocketIDs(ctx)
	fmt.Println(len(ids), err)
	fmt.Println(elsewhere.Close(ctx))
	// Output:
	// ann [name] 3 true / <nil>
	// 2 <nil>
	// <nil>
}

// Many sockets are walked page by page, with what is wanted of them only.
func ExampleBroadcastOperator_EachSocket() {
	io := connect()
	intoRooms(io)
	defer run(io)()
	join("/", "ann")
	join("/", "bob")
	n := 0
	for s, err := range io.To("all").EachSocket(context.Background(), socketio.WithData|socketio.WithRooms) {
		if err != nil { // one edge's sockets are missing
			fmt.Println(err)
			continue
		}
		n += len(s.Rooms())
	}
	fmt.Println(n, "rooms")
	// Output: 6 rooms
}

// What is done to a RemoteSocket reaches its client by the edge that has it.
func ExampleRemoteSocket() {
	io, elsewhere := connect(), connect()
	intoRooms(io)
	defer run(io)()
	ann := join("/", "ann")
	ann.Answer("sure?", "yes")

	ctx := context.Background()
	sockets, err := elsewhere.FetchSockets(ctx)
	if err != nil || len(sockets) != 1 {
		fmt.Println(len(sockets), err)
		return
	}
	s := sockets[0]
	fmt.Println(s.Handshake().Auth.Get("name"), s.User() == "")
	err = errors.Join(s.Emit("hello"), s.Send("again"), s.Join("vip"), s.Leave("all"), elsewhere.To("vip").Emit("welcome", "vip"))
	fmt.Println(ann.Next(), ann.Next(), ann.Next(), err)
	reply, err := s.Timeout(10*time.Second).EmitWithAck(ctx, "sure?")
	fmt.Println(string(reply.Raw(0)), err)
	fmt.Println(s.Disconnect(false), ann.Next())
	fmt.Println(elsewhere.Close(ctx))
	// Output:
	// ann true
	// ["hello"] ["message","again"] ["welcome","vip"] <nil>
	// "yes" <nil>
	// <nil> disconnect
	// <nil>
}
