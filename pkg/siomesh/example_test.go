package siomesh_test

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// A whole server in one program, beside other handlers. Replacing New by socketio.Connect makes it an application on separate
// services.
func Example() {
	ctx, stop := context.WithCancel(context.Background()) // in a program signal.NotifyContext
	defer stop()
	m, err := siomesh.New(siomesh.Config{CORSOrigins: []string{"*"}, Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	register(m.IO())

	mux := http.NewServeMux()
	mux.Handle("/socket.io/", m)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the page") })
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ":3000", say
	if err != nil {
		fmt.Println(err)
		return
	}
	go http.Serve(ln, mux) //nolint:errcheck,gosec // ends with the listener
	defer ln.Close()

	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	<-m.Ready() // before that clients are answered 503, and come back
	ann := client(ln, "/socket.io/")
	fmt.Println(ann.Ask("say", "hello"), ann.Next(), page(ln, "/"))
	stop()
	fmt.Println(<-ended, ann.Next())
	// Output:
	// [] ["said","hello"] the page
	// <nil> closed
}

// register is the same for any Server, from New or socketio.Connect.
func register(io *socketio.Server) {
	_ = io.OnConnection(func(s *socketio.Socket) {
		s.On("say", func(_ context.Context, e *socketio.Event) error {
			var text string
			if err := e.Bind(&text); err != nil {
				return err
			}
			if err := io.Emit("said", text); err != nil {
				return err
			}
			return e.Ack()
		})
	})
}
