package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// Packet middlewares see every event before its handlers, and may change or stop it.
func ExampleSocket_Use() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.Use(func(_ context.Context, e *socketio.Event) error {
			if e.Name == "admin" && e.Socket().User() != "root" {
				return errors.New("unauthorized event")
			}
			return e.SetArgs(append(e.Args.Values(), "checked")...)
		})
		s.OnError(func(err error) { _ = s.Emit("failed", err.Error()) })
		s.On("say", func(_ context.Context, e *socketio.Event) error {
			return s.Emit("said", append(e.Args.Values(), e.WantsAck(), e.Redelivered())...)
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	ann.Emit("say", "hello")
	ann.Emit("admin")
	fmt.Println(ann.Next())
	fmt.Println(ann.Next())
	// Output:
	// ["said","hello","checked",false,false]
	// ["failed","handle \"admin\" in namespace \"/\": unauthorized event"]
}

// Listeners of any event, which see it before its handlers.
func ExampleSocket_OnAny() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		var seen []string
		s.OnAny(func(_ context.Context, e *socketio.Event) error {
			seen = append(seen, e.Name)
			return nil
		})
		off := s.PrependAny(func(context.Context, *socketio.Event) error {
			seen = append(seen, "first")
			return nil
		})
		s.On("off", func(context.Context, *socketio.Event) error {
			off()
			return nil
		})
		s.On("stop", func(_ context.Context, e *socketio.Event) error {
			n := len(s.ListenersAny())
			s.OffAny()
			return e.Ack(seen, n, len(s.ListenersAny()))
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	ann.Emit("off")
	fmt.Println(ann.Ask("stop"))
	// Output: [["first","off","stop"],1,0]
}

// Listeners of what is sent to a client, broadcasts of others too.
func ExampleSocket_OnAnyOutgoing() {
	io := connect()
	seen, shown := make(chan string, 8), make(chan struct{})
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.OnAnyOutgoing(func(event string, args socketio.Args) { seen <- fmt.Sprint(event, " ", string(args.Raw(0))) })
		off := s.PrependAnyOutgoing(func(event string, _ socketio.Args) { seen <- "first " + event })
		_ = s.Emit("hello", "you")
		off()
		fmt.Println(<-seen, "-", <-seen, "-", len(s.ListenersAnyOutgoing()))
		close(shown)
		s.On("stop", func(_ context.Context, e *socketio.Event) error {
			s.OffAnyOutgoing()
			return e.Ack(len(s.ListenersAnyOutgoing())) // acknowledgements are not seen
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	ann.Next()
	<-shown
	_ = io.Emit("news", "for all")
	fmt.Println(<-seen)
	fmt.Println(ann.Ask("stop"))
	// Output:
	// first hello - hello "you" - 1
	// news "for all"
	// [0]
}

// Ack may come later than the handler returns, and counts once.
func ExampleEvent_Ack() {
	io := connect()
	pending := make(chan *socketio.Event, 1)
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("later", func(_ context.Context, e *socketio.Event) error {
			pending <- e
			return nil
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	reply := make(chan string)
	go func() { reply <- ann.Ask("later") }()
	e := <-pending
	fmt.Println(e.WantsAck(), e.Ack("now"), e.Ack("ignored"), <-reply)
	// Output: true <nil> <nil> ["now"]
}

// Arguments are decoded by the rules of encoding/json; binary fits []byte, Binary and any, at any depth.
func ExampleArgs_Bind() {
	type Upload struct {
		Name string
		Data []byte
	}
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("upload", func(_ context.Context, e *socketio.Event) error {
			var name string
			var data socketio.Binary
			err := e.Args.Bind(&name, nil, &data) // the second is skipped
			return e.Ack(Upload{name, data}, e.Args.Len(), string(e.Args.Raw(1)), len(e.Args.Attachments()), err)
		})
	})
	defer run(io)()
	fmt.Println(join("/", "ann").Ask("upload", "a.png", map[string]int{"w": 8}, []byte{1, 2}))
	// Output: [{"Name":"a.png","Data":<0102>},3,"{\"w\":8}",1,null]
}

// A relay passes on what it does not understand, text and binary, with arguments of its own before it.
func ExampleArgs_Values() {
	io := connect()
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("relay", func(_ context.Context, e *socketio.Event) error {
			return s.Emit("relayed", append([]any{"from you"}, e.Args.Values()...)...)
		})
	})
	defer run(io)()
	ann := join("/", "ann")
	ann.Emit("relay", json.RawMessage(`{"z":1,"a":1.50}`), []byte{7})
	fmt.Println(ann.Next())
	// Output: ["relayed","from you",{"z":1,"a":1.50},<07>]
}

// Arguments that were kept as JSON and attachments are sent as they were.
func ExampleParseArgs() {
	args, err := socketio.ParseArgs(json.RawMessage(`["x",{"_placeholder":true,"num":0}]`), [][]byte{{1, 2}})
	var name string
	var data []byte
	err = errors.Join(err, args.Bind(&name, &data))
	fmt.Println(err, name, len(data))
	// Output: <nil> x 2
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
