package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
)

// echo sends every message back.
type echo struct{ s *engine.Session }

func (e echo) Message(data []byte, binary bool) {
	m := engine.NewText([]byte(string(data))) // data is lent
	if binary {
		m = engine.NewBinary([]byte(string(data)))
	}
	_ = e.s.Queue(m) // fails when the session is closing
}

func (e echo) EndBatch() { e.s.Flush() }

func (e echo) Closed(engine.Reason, error) {}

// answer runs an engine beside other handlers for the time of one handshake, and returns
// what a client gets.
func answer(cfg engine.Config) (string, error) {
	srv, err := engine.New(func(s *engine.Session, _ *http.Request) (engine.Handler, error) {
		return echo{s}, nil
	}, cfg)
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", srv)
	hs := httptest.NewServer(mux)
	defer hs.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer func() { _ = srv.Close(ctx) }()                                       // its session has nothing to lose
	res, err := hs.Client().Get(hs.URL + "/engine.io/?EIO=4&transport=polling") //nolint:noctx // its server is here
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(body)), err
}

func ExampleNew() {
	fmt.Println(answer(engine.Config{
		GenerateID: func(*http.Request) (engine.SessionID, error) { return "a-secret", nil },
		Cookie:     engine.DefaultCookie(),
	}))
	// Output:
	// 200 0{"sid":"a-secret","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000} <nil>
}

// A middleware wraps polling requests and WebSocket handshakes alike.
func ExampleRefuse() {
	members := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
				engine.Refuse(w, r, &engine.Refusal{Code: engine.CodeForbidden, Message: "members only"})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	fmt.Println(answer(engine.Config{Middleware: []func(http.Handler) http.Handler{members}}))
	// Output:
	// 403 {"code":4,"message":"members only"} <nil>
}

// An observer is set inside Accept.
func ExampleSession_Observe() {
	srv, err := engine.New(func(s *engine.Session, _ *http.Request) (engine.Handler, error) {
		s.Observe(&engine.Observer{
			PacketCreate: func(p engine.Packet) { fmt.Printf("create %s %q\n", p.Type, p.Data) },
			Close: func(reason engine.Reason, _ error, unsent []engine.Packet) {
				fmt.Printf("%s with %d packets unsent\n", reason, len(unsent))
			},
		})
		return echo{s}, s.Send(engine.NewText([]byte("welcome")))
	}, engine.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/engine.io/?EIO=4&transport=polling", http.NoBody) //nolint:noctx // served in place
	srv.ServeHTTP(httptest.NewRecorder(), r)
	if err := srv.Close(r.Context()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// create message "welcome"
	// forced close with 0 packets unsent
}
