package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// play runs a scenario on every shape, with six clients in "/".
func play(t *testing.T, setup func(*socketio.Server), scenario func(t *testing.T, c *cluster, clients []*client, ids []string)) {
	t.Helper()
	playWith(t, settings{}, setup, scenario)
}

// playWith is play with settings.
func playWith(
	t *testing.T, set settings, setup func(*socketio.Server), scenario func(t *testing.T, c *cluster, clients []*client, ids []string),
) {
	t.Helper()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			c := newClusterWith(t, set, shape.edges, shape.apps, func(io *socketio.Server) {
				if setup != nil {
					setup(io)
				}
				_ = io.OnConnection(func(*socketio.Socket) {})
			})
			var clients []*client
			var ids []string
			for range 6 {
				k := c.join("/")
				clients, ids = append(clients, k), append(ids, k.id)
			}
			slices.Sort(ids)
			scenario(t, c, clients, ids)
		})
	}
}

func idsOf(sockets []*socketio.RemoteSocket) (ids []string) {
	for _, s := range sockets {
		ids = append(ids, s.ID())
	}
	slices.Sort(ids)
	return ids
}

func TestFetchAnywhere(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for _, io := range c.apps {
			all, err := io.FetchSockets(t.Context())
			if err != nil || !slices.Equal(idsOf(all), ids) { // BRO-022, CLU-015
				t.Errorf("got %v, %v, want %v", idsOf(all), err, ids)
			}
		}
		var local []string
		for i, io := range c.apps {
			mine, err := io.Local().FetchSockets(t.Context())
			if err != nil {
				t.Error(err)
			}
			local = append(local, idsOf(mine)...) // CLU-017
			for _, s := range io.Sockets() {
				if err := errors.Join(s.Join(fmt.Sprint("of ", i)), s.Data().Set("owner", i)); err != nil {
					t.Error(err)
				}
				others := c.apps[(i+1)%len(c.apps)]
				if err := io.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				got, err := others.In(s.ID()).FetchSockets(t.Context()) // BRO-023, CLU-016: by another instance
				if err != nil || len(got) != 1 {
					t.Fatalf("got %d sockets, %v", len(got), err)
				}
				var owner int
				if _, err := got[0].Data().Get("owner", &owner); err != nil || owner != i || !slices.Equal(got[0].Rooms(), s.Rooms()) ||
					got[0].Handshake().Query["EIO"] != "4" || got[0].Handshake().Issued != s.Handshake().Issued {
					t.Errorf("got %+v, %v", got[0], err)
				}
				if now, err := s.CurrentConn(t.Context()); err != nil || now != s.Conn() || now.Transport != "websocket" { // SOC-017
					t.Errorf("got %+v, %v, want %+v", now, err, s.Conn())
				}
			}
		}
		if slices.Sort(local); !slices.Equal(local, ids) {
			t.Errorf("got local sockets %v, want %v", local, ids)
		}
		if got, err := c.app().To("of 0").Except(clients[0].id).SocketIDs(t.Context()); err != nil || slices.Contains(got, clients[0].id) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestChangeAnywhere(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		one := clients[0].id
		for _, io := range c.apps {
			if err := errors.Join(io.SocketsJoin("all", "x"), io.In(one).SocketsLeave("x")); err != nil { // CLU-011, CLU-012
				t.Fatal(err)
			}
			counts, err := io.Counts(t.Context(), "all", "x", one)
			if want := fmt.Sprint(map[string]int{"all": 6, "x": 5, one: 1}); err != nil || fmt.Sprint(counts) != want { // BRO-024, BRO-025
				t.Errorf("got %v, %v, want %s", counts, err, want)
			}
		}
		for _, io := range c.apps { // the owners hear of what others did
			for _, s := range io.Sockets() {
				want := []string{s.ID(), "all", "x"}
				if s.ID() == one {
					want = want[:2]
				}
				eventually(t, "the owner hears", func() bool { return slices.Equal(s.Rooms(), want) })
			}
		}
		io := c.app()
		if err := io.To("x").Emit("in x"); err != nil { // CLU-003
			t.Fatal(err)
		}
		if err := errors.Join(io.Except(one).Emit("last", []byte{7}), io.DisconnectSockets(true)); err != nil { // BRO-026, CLU-013
			t.Fatal(err)
		}
		for _, k := range clients {
			if k.id != one {
				k.expect(`42["in x"]`, `451-["last",{"_placeholder":true,"num":0}]`, "\x07") // CLU-014, CLU-001
			}
			k.expect("41", "closed")
		}
		eventually(t, "nobody is left", func() bool { n, err := io.Count(t.Context()); return n == 0 && err == nil })
	})
}

func TestAskAnywhere(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for round, io := range c.apps {
			answered := make(chan error, 1)
			go func() { // received below
				replies, err := io.Timeout(patience).EmitWithAck(t.Context(), "who?", round)
				var got []string
				for _, r := range replies {
					var id string
					err = errors.Join(err, r.Bind(&id))
					if id != r.SocketID {
						err = errors.Join(err, fmt.Errorf("%s says %s", r.SocketID, id))
					}
					got = append(got, id)
				}
				if slices.Sort(got); !slices.Equal(got, ids) { // BRO-013, CLU-006
					err = errors.Join(err, fmt.Errorf("got %v, want %v", got, ids))
				}
				answered <- err
			}()
			for _, k := range clients {
				k.answer(k.question("who?"), fmt.Sprintf("%q,2", k.id))
			}
			if err := <-answered; err != nil {
				t.Error(err)
			}
			replies, err := io.To("nobody").EmitWithAck(t.Context(), "who?") // BRO-016, CLU-008
			if err != nil || len(replies) > 0 {
				t.Errorf("got %v, %v", replies, err)
			}
		}
		go func() { // ends with what it does
			for _, k := range clients[1:] {
				k.answer(k.question("who?"), "")
			}
		}()
		replies, err := c.app().Timeout(5*time.Second).EmitWithAck(t.Context(), "who?")
		var missing *socketio.MissingError
		if len(replies) != 5 || !errors.As(err, &missing) || !errors.Is(err, socketio.ErrTimeout) ||
			!slices.Equal(missing.SocketIDs, []string{clients[0].id}) { // BRO-014, CLU-009
			t.Errorf("got %d replies, %v", len(replies), err)
		}
		clients[0].question("who?")
		for _, k := range clients { // CLU-010, BRO-027
			remote, err := c.app().In(k.id).FetchSockets(t.Context())
			if err != nil || len(remote) != 1 {
				t.Fatalf("got %d, %v", len(remote), err)
			}
			go func() { k.answer(k.question("you?"), `"yes"`) }() // ends with what it does
			args, err := remote[0].Timeout(patience).EmitWithAck(t.Context(), "you?")
			var word string
			if err = errors.Join(err, args.Bind(&word)); err != nil || word != "yes" {
				t.Errorf("got %q, %v", word, err)
			}
		}
	})
}

func TestSocketsAnywhere(t *testing.T) {
	t.Parallel()
	outgoing := make(chan string, 64)
	play(t, func(io *socketio.Server) {
		_ = io.OnConnection(func(s *socketio.Socket) {
			s.OnAnyOutgoing(func(event string, args socketio.Args) { outgoing <- s.ID() + " " + event + string(args.Raw(0)) })
			s.Use(func(_ context.Context, e *socketio.Event) error {
				if e.Name == "refused" {
					return errors.New("no")
				}
				return e.SetArgs(append([]any{"seen"}, e.Args.Values()...)...)
			})
			s.OnAny(func(_ context.Context, e *socketio.Event) error { return s.Send(e.Name) })
			s.On("e", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
		})
	}, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for _, k := range clients {
			k.send(`421["refused"]`)
			k.send(`422["e",[1]]`)
			k.expect(`42["message","refused"]`, `42["message","e"]`, `432["seen",[1]]`) // SOC-031, SOC-032, SOC-033
			for _, want := range []string{`"refused"`, `"e"`} {
				if got := <-outgoing; got != k.id+" message"+want { // SOC-034
					t.Errorf("got %s, want %s", got, want)
				}
			}
		}
		if err := c.app().Emit("broad", 1); err != nil {
			t.Fatal(err)
		}
		var saw []string
		for range clients { // SOC-034: broadcasts of any instance
			select {
			case got := <-outgoing:
				saw = append(saw, got)
			case <-time.After(patience):
				t.Fatalf("only %v saw the broadcast", saw)
			}
		}
		slices.Sort(saw)
		for i, id := range ids {
			if saw[i] != id+" broad1" {
				t.Errorf("got %v", saw)
			}
		}
	})
}
