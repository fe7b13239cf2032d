package siomesh_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// A whole server in one program. Replacing New by socketio.Connect makes it an application on separate services.
func Example() {
	m, err := siomesh.New(siomesh.Config{CORSOrigins: []string{"*"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	io := m.IO()
	io.Of("/").OnConnection(func(s *socketio.Socket) { //nolint:errcheck // nothing runs yet
		s.On("say", func(_ context.Context, e *socketio.Event) error {
			var text string
			if err := e.Bind(&text); err != nil {
				return err
			}
			return io.Emit("said", s.ID(), text)
		})
	})
	http.Handle("/socket.io/", m)
	go http.ListenAndServe("127.0.0.1:3000", nil) //nolint:errcheck,gosec // ends with the process

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := m.Run(ctx); err != nil {
		fmt.Println(err)
	}
}
