package socketio

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// wild panics when it is encoded.
type wild struct{}

func (wild) MarshalJSON() ([]byte, error) { panic("wild") }

// TestRefusalsThatPanic: what a middleware returns is the application's code too, and ends no process.
func TestRefusalsThatPanic(t *testing.T) {
	for name, c := range map[string]struct {
		f        func() error
		message  string
		panics   bool // it is reported
		wordless bool // nothing is reported
	}{
		"a nil *ConnectError":       {f: func() error { return (*ConnectError)(nil) }, message: internalError, panics: true},
		"it, wrapped":               {f: func() error { return fmt.Errorf("no: %w", (*ConnectError)(nil)) }, message: "no: <nil>", wordless: true},
		"data that panics":          {f: func() error { return &ConnectError{Message: "no", Data: wild{}} }, message: "no", panics: true},
		"data that is no JSON":      {f: func() error { return &ConnectError{Message: "no", Data: make(chan int)} }, message: "no"},
		"the end of the goroutine":  {f: func() error { runtime.Goexit(); return nil }, message: internalError, wordless: true},
		"an error that holds a nil": {f: func() error { return &HandlerError{Err: errEnough} }, message: internalError, panics: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t)
			r.startRooms()
			s, failures := r.serverFor()
			_ = s.Of("/no").Use(func(context.Context, *Socket) error { return c.f() })
			_ = s.OnConnection(nothing)
			run(t, s)
			var refusal siomeshv1.Refuse
			if err := proto.Unmarshal(r.knock(s, "/no").expect(wire.KindRefuse).body, &refusal); err != nil {
				t.Fatal(err)
			}
			if refusal.GetMessage() != c.message || len(refusal.GetData()) > 0 {
				t.Errorf("got %v, want %q", &refusal, c.message)
			}
			eventually(t, "forgotten", func() bool { return s.sockets.len() == 0 && idle(s) })
			if !c.wordless {
				err := receive(t, "the report", failures)
				if panicked := (*PanicError)(nil); errors.As(err, &panicked) != c.panics {
					t.Errorf("got %v", err)
				}
			}
			r.join(s, "/")
		})
	}
}

// TestHandlerErrorThatPanics: an error that cannot be asked is the panic of who returned it.
func TestHandlerErrorThatPanics(t *testing.T) {
	r, s, failures, _ := serve(t, func(s *Socket) {
		s.On("e", func(context.Context, *Event) error { return (*ConnectError)(nil) })
	})
	r.join(s, "/").emit("", "e")
	var panicked *PanicError
	if err := receive(t, "the report", failures); !errors.As(err, &panicked) {
		t.Errorf("got %v", err)
	}
}
