package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestServerSide(t *testing.T) {
	t.Parallel()
	for _, shape := range []struct{ edges, apps int }{{1, 1}, {3, 2}, {1, 3}} {
		apps := shape.apps
		t.Run(fmt.Sprintf("%d edges, %d apps", shape.edges, apps), func(t *testing.T) {
			heard := make(chan string, 64)
			n := 0
			c := newCluster(t, shape.edges, apps, func(io *socketio.Server) {
				me := n
				n++
				_ = io.OnConnection(func(*socketio.Socket) {})
				io.OnServerSide("hello", func(_ context.Context, e *socketio.ServerEvent) error {
					var i int
					var data []byte
					err := e.Args.Bind(&i, &data)
					heard <- fmt.Sprintf("%d hello %d %x", me, i, data)
					return errors.Join(err, e.Ack("from", "dropped"), e.Ack("again"))
				})
				io.OnServerSide("silent", func(context.Context, *socketio.ServerEvent) error {
					if me == n-1 {
						panic("stops nothing")
					}
					return nil
				})
				off := io.OnServerSide("hello", func(context.Context, *socketio.ServerEvent) error { heard <- "removed"; return nil })
				off()
			})
			io := c.apps[0]
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			eventually(t, "the instances know each other", func() bool {
				replies, err := io.ServerSideEmitWithAck(ctx, "hello", -1)
				return err == nil && len(replies) == apps-1 // CLU-019, CLU-022
			})
			for len(heard) > 0 {
				<-heard
			}
			for i := range 3 {
				if err := io.ServerSideEmit("hello", i, []byte{byte(i)}); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]int{}
			for range 3 * (apps - 1) {
				select {
				case text := <-heard:
					got[text[:1]]++
					if want := fmt.Sprintf("%s hello %d %02x", text[:1], got[text[:1]]-1, got[text[:1]]-1); text != want { // in order
						t.Errorf("got %s, want %s", text, want)
					}
				case <-time.After(patience):
					t.Fatalf("got only %v", got)
				}
			}
			if got["0"] != 0 || len(got) != apps-1 { // CLU-018: the others, not itself
				t.Errorf("got %v", got)
			}
			replies, err := io.ServerSideEmitWithAck(ctx, "hello", 7, []byte{7})
			for _, r := range replies {
				var word string
				if err := r.Args.Bind(&word); err != nil || word != "from" || r.Args.Len() != 1 || r.Instance == "" {
					t.Errorf("got %q of %d, %v", word, r.Args.Len(), err)
				}
			}
			if err != nil || len(replies) != apps-1 {
				t.Errorf("got %d, %v", len(replies), err)
			}
			short, stop := context.WithTimeout(t.Context(), 4*time.Second)
			defer stop()
			replies, err = io.ServerSideEmitWithAck(short, "silent")
			var missing *socketio.MissingServersError
			switch {
			case apps == 1 && err == nil: // CLU-022
			case apps > 1 && errors.As(err, &missing) && errors.Is(err, socketio.ErrTimeout) && len(missing.Instances) == apps-1 &&
				err.Error() == fmt.Sprintf("timeout reached: missing %d responses", apps-1): // CLU-020
			default:
				t.Errorf("got %d, %v", len(replies), err)
			}
			var reserved *socketio.ReservedEventError
			for _, name := range []string{"connect", "connection", "new_namespace"} {
				if err := io.ServerSideEmit(name); !errors.As(err, &reserved) {
					t.Errorf("%s: got %v", name, err)
				}
			}
			if apps == 1 {
				return
			}
			leaving := make(chan error, 1)
			go func() { // received below
				_, err := io.ServerSideEmitWithAck(ctx, "silent")
				leaving <- err
			}()
			eventually(t, "they are asked", func() bool {
				short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer stop()
				_, err := io.ServerSideEmitWithAck(short, "silent")
				return errors.As(err, &missing) && len(missing.Instances) == apps-1
			})
			for _, other := range c.apps[1:] {
				if err := other.Close(ctx); err != nil {
					t.Error(err)
				}
			}
			if err := <-leaving; err != nil { // CLU-021, CLU-025: who leaves is not waited for
				t.Errorf("got %v", err)
			}
			if replies, err := io.ServerSideEmitWithAck(ctx, "silent"); err != nil || len(replies) != 0 { // CLU-022: nobody else is left
				t.Errorf("got %d, %v, %v", len(replies), err, errors.As(err, &missing) && missing.Instances != nil)
			}
		})
	}
}
