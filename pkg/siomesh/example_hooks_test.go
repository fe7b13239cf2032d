package siomesh_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/siomesh"
)

// hooks is a configuration with a function at each place where the edge asks its program.
func hooks() siomesh.Config {
	return siomesh.Config{
		AllowRequest: func(r *http.Request) error { // may a session open?
			if r.URL.Query().Get("key") == "" {
				return errors.New("no key") // status 403, code 4, and this text
			}
			return nil
		},
		GenerateID:     func(*http.Request) (string, error) { return rand.Text(), nil }, // behind the edge's own name
		InitialHeaders: func(h http.Header, _ *http.Request) { h.Set("X-Opened", "now") },
		Headers:        func(h http.Header, _ *http.Request) { h.Set("X-Served-By", "siomesh") },
		OnConnectionError: func(_ *http.Request, code int, message string, _ map[string]any) {
			fmt.Println("refused:", code, message)
		},
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Maintenance") != "" {
					engine.Refuse(w, r, &engine.Refusal{Code: engine.CodeForbidden, Message: "back soon"})
					return
				}
				next.ServeHTTP(w, r)
			})
		}},
		OnSession: func(s *engine.Session, _ *http.Request) { // before the open packet
			s.Observe(&engine.Observer{
				PacketCreate: func(p engine.Packet) { fmt.Println("to the client:", p.Type) },
				Upgrade:      func(transport string) { fmt.Println("now on", transport) },
				Close:        func(reason engine.Reason, _ error, _ []engine.Packet) { fmt.Println("closed:", reason) },
			})
		},
	}
}

// What a program may say about each request and session.
func ExampleConfig_hooks() {
	cfg := hooks()
	cfg.Log = quiet
	m, err := siomesh.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ":3000", say
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // in a program signal.NotifyContext
	defer stop()
	ended := make(chan error)
	go func() { ended <- m.Serve(ctx, ln) }() // received below
	<-m.Ready()
	fmt.Println(page(ln, "/socket.io/?EIO=4&transport=polling"))
	page(ln, "/socket.io/?EIO=4&transport=polling&key=k") // a session opens
	fmt.Println("clients:", m.ClientsCount())
	stop()
	fmt.Println(<-ended)
	// Output:
	// refused: 4 Forbidden
	// {"code":4,"message":"no key"}
	// clients: 1
	// closed: forced close
	// <nil>
}
