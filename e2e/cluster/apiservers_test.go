package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestAPIServerSide(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			heard := make(chan string, 16)
			c := newCluster(t, shape.edges, shape.apps, func(io *socketio.Server) {
				_ = io.OnConnection(func(*socketio.Socket) {})
				io.OnServerSide("hello", func(_ context.Context, e *socketio.ServerEvent) error {
					var n int
					var data []byte
					err := e.Args.Bind(&n, &data)
					heard <- fmt.Sprintf("%d %x", n, data)
					return err
				})
				io.OnServerSide("who?", func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack("me") })
			})
			o := c.serveAPI(2)
			others := func(io *socketio.Server) int {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				replies, err := io.ServerSideEmitWithAck(ctx, "who?")
				if err != nil {
					t.Fatal(err)
				}
				return len(replies)
			}
			c.acquaint("who?")
			if n := others(c.apps[0]); n != shape.apps-1 { // EMI-006: those of the application, and not the API's, which never answer
				t.Errorf("%d others, want %d", n, shape.apps-1)
			}
			o.refuse("serverSideEmit", `{"event":"hello","ack":true}`, "takes no acknowledgements") // EMI-005
			o.do("serverSideEmit", `{"event":"hello","args":[7,{"$binary":"CQ=="}]}`, `{}`)
			for range shape.apps { // EMI-004: every one
				select {
				case got := <-heard:
					if got != "7 09" {
						t.Errorf("got %s, want 7 09", got)
					}
				case <-time.After(patience):
					t.Fatal("not everybody has heard")
				}
			}
			if n := others(c.apps[0]); n != shape.apps-1 || len(heard) > 0 { // EMI-006, and nobody heard what was refused
				t.Errorf("%d others, %d heard more", n, len(heard))
			}
		})
	}
}

func TestAPIReservedNames(t *testing.T) {
	t.Parallel()
	play(t, nil, func(_ *testing.T, c *cluster, clients []*client, _ []string) {
		o := c.serveAPI(1)
		for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
			o.refuse("emit", fmt.Sprintf(`{"event":%q}`, name), fmt.Sprintf("%q is a reserved event name", name)) // EMI-005
		}
		o.do("emit", `{"event":"allowed"}`, `{}`)
		for _, k := range clients {
			k.expect(`42["allowed"]`) // EMI-005: and nothing before it
		}
	})
}

// refuse is ask that expects an error.
func (o *outside) refuse(verb, request, text string) {
	o.tb.Helper()
	var got struct{ Error struct{ Message string } }
	m := o.ask(verb, request)
	if err := json.Unmarshal(m.Data, &got); err != nil || !strings.Contains(got.Error.Message, text) || len(m.Header) == 0 {
		o.tb.Errorf("%s %s: got %s %v, want the error %s", verb, request, m.Data, m.Header, text)
	}
}

func TestAPIUsers(t *testing.T) {
	t.Parallel()
	play(t, func(io *socketio.Server) {
		_ = io.Of("/users").OnConnection(func(*socketio.Socket) {})
	}, func(_ *testing.T, c *cluster, _ []*client, _ []string) {
		ann, also, bob := c.joinAs("/users", `{"token":"1"}`), c.joinAs("/users", `{"token":"1"}`), c.joinAs("/users", `{"token":"2"}`)
		o := c.serveAPI(2)
		o.do("join", fmt.Sprintf(`{"namespace":"/users","ids":[%q],"join":["r"]}`, also.id), `{}`)
		for who, want := range map[string][]*client{
			`"users":["ann"]`:                             {ann, also},
			`"users":["bob*","ann"]`:                      {ann, also, bob},
			`"users":["nobody"]`:                          {},
			`"users":["ann"],"except":["r"]`:              {ann},
			`"users":["bob*"],"rooms":["r"]`:              {also, bob},
			`"except_users":["ann"]`:                      {bob},
			`"rooms":["r"],"except_users":["ann","bob*"]`: {},
		} {
			o.do("count", `{"namespace":"/users",`+who+`}`, fmt.Sprintf(`{"count":%d}`, len(want)))
			o.do("emit", `{"namespace":"/users",`+who+`,"event":"to some"}`, `{}`)
			o.do("emit", `{"namespace":"/users","event":"to all"}`, `{}`)
			for _, k := range []*client{ann, also, bob} {
				if slices.Contains(want, k) {
					k.expect(`42/users,["to some"]`)
				}
				k.expect(`42/users,["to all"]`)
			}
		}
	})
}
