package siomesh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
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

// Functions and options of the endpoint: who may connect at all, and what responses carry.
func ExampleConfig() {
	m, err := siomesh.New(siomesh.Config{
		CORSOrigins: []string{"https://chat.example"},
		CORSMaxAge:  time.Hour,
		Cookie:      engine.DefaultCookie(),
		AllowRequest: func(r *http.Request) error {
			if r.UserAgent() == "" {
				return errors.New("who are you?")
			}
			return nil
		},
		Headers: func(h http.Header, _ *http.Request) { h.Set("X-Region", "eu") },
		OnSession: func(s *engine.Session, _ *http.Request) {
			s.Observe(&engine.Observer{Upgrade: func(transport string) { fmt.Println("upgraded to", transport) }})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close(context.Background()) //nolint:errcheck // it never ran
	fmt.Println(m.ClientsCount(), "clients")
	// Output: 0 clients
}
