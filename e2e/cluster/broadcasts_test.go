package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// heard takes what clients got up to an event that is sent to all at the end.
func heard(t *testing.T, io *socketio.Server, clients []*client) (texts map[string][]string) {
	t.Helper()
	if err := io.Emit("that is all"); err != nil {
		t.Fatal(err)
	}
	texts = map[string][]string{}
	for _, k := range clients {
		for text := k.next(); text != `42["that is all"]`; text = k.next() {
			if text == "closed" {
				t.Fatalf("client %s was closed", k.id)
			}
			texts[k.id] = append(texts[k.id], text)
		}
	}
	return texts
}

// whom are the ids of clients by number.
func whom(clients []*client, numbers ...int) (ids []string) {
	for _, n := range numbers {
		ids = append(ids, clients[n].id)
	}
	slices.Sort(ids)
	return ids
}

func TestBroadcastAnywhere(t *testing.T) {
	t.Parallel()
	everybody := []int{0, 1, 2, 3, 4, 5}
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		io := c.app()
		id := func(n int) string { return clients[n].id }
		long := strings.Repeat("a room. ", 12_500) // 100 kB
		for room, members := range map[string][]int{"a": {0, 1, 2}, "b": {2, 3}, "c": {4}, "*": {5}, ">": {5}, "a.>": {5}, "": {5}, long: {5}} {
			if err := io.In(whom(clients, members...)...).SocketsJoin(room); err != nil {
				t.Fatal(err)
			}
		}
		if err := io.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, io := range c.apps {
			base := io.To("a")
			for name, s := range map[string]struct {
				to   interface{ Emit(string, ...any) error }
				want []int
			}{
				"all":                     {io, everybody},                                 // BRO-001
				"no such room":            {io.To("none"), nil},                            // BRO-004
				"room":                    {io.In("a"), []int{0, 1, 2}},                    // BRO-004
				"union":                   {io.To("a", "b").To("c"), []int{0, 1, 2, 3, 4}}, // BRO-005: once each
				"union of one":            {io.To(id(2), "a", "b"), []int{0, 1, 2, 3}},     // BRO-005
				"except room":             {io.Except("a"), []int{3, 4, 5}},                // BRO-007
				"except id":               {io.Except(id(0)), []int{1, 2, 3, 4, 5}},        // BRO-007
				"except chained":          {io.Except("a").Except(id(3)), []int{4, 5}},     // BRO-007
				"except several":          {io.Except("b", "c", id(5)), []int{0, 1}},       // BRO-007
				"except wins":             {io.To("a").Except("b"), []int{0, 1}},           // BRO-008, CLU-003
				"operator made of base":   {base.Except(id(1)).To("c"), []int{0, 2, 4}},    // BRO-009
				"base":                    {base, []int{0, 1, 2}},                          // BRO-009: it was not changed
				"subjects and wild cards": {io.To("*", ">", "a.>", ""), []int{5}},
				"long names":              {io.To(long).Except(long + "x"), []int{5}}, // they are names like others
				"not compressed":          {io.Compress(false), everybody},            // BRO-012
				"volatile, when all idle": {io.To("b").Volatile(), []int{2, 3}},       // BRO-010, SOC-044
				"another namespace":       {io.Of("/other"), nil},                     // BRO-001
			} {
				if err := s.to.Emit("e", name, []byte("12")); err != nil {
					t.Fatal(err)
				}
				got := heard(t, io, clients)
				want := []string{fmt.Sprintf(`451-["e",%q,{"_placeholder":true,"num":0}]`, name), "12"} // BRO-002, CLU-001
				for i, k := range clients {
					expect := want
					if !slices.Contains(s.want, i) {
						expect = nil
					}
					if !slices.Equal(got[k.id], expect) {
						t.Errorf("%s: client %d got %q, want %q", name, i, got[k.id], expect)
					}
				}
			}
			fromSockets(t, io, clients)
		}
	})
}

// fromSockets checks that what a socket sends to others it does not get itself.
func fromSockets(t *testing.T, io *socketio.Server, clients []*client) {
	t.Helper()
	for _, s := range io.Sockets() {
		if err := errors.Join(s.Broadcast().Emit("others"), s.To("a", "b").Emit("rooms"), s.Except("a").Emit("not a")); err != nil {
			t.Fatal(err)
		}
		got := heard(t, io, clients)
		for i, k := range clients {
			want := []string{`42["others"]`}
			if i <= 3 {
				want = append(want, `42["rooms"]`)
			}
			if i > 2 {
				want = append(want, `42["not a"]`)
			}
			if k.id == s.ID() { // BRO-003, BRO-006
				want = nil
			}
			if !slices.Equal(got[k.id], want) {
				t.Errorf("of %s: client %d got %q, want %q", s.ID(), i, got[k.id], want)
			}
		}
	}
}

// TestLocalAnywhere: each instance reaches its own sockets, and together they reach all.
func TestLocalAnywhere(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		var reached []string
		for i, io := range c.apps {
			if err := errors.Join(io.Local().Emit("local", i), io.Local().SocketsJoin(fmt.Sprint("of ", i))); err != nil {
				t.Fatal(err)
			}
			var mine []string
			for id, texts := range heard(t, io, clients) {
				if !slices.Equal(texts, []string{fmt.Sprintf(`42["local",%d]`, i)}) {
					t.Errorf("%s got %q", id, texts)
				}
				mine = append(mine, id)
			}
			slices.Sort(mine)
			members, err := io.To(fmt.Sprint("of ", i)).SocketIDs(t.Context())
			if len(mine) != len(io.Sockets()) || !slices.Equal(mine, members) || err != nil { // CLU-004
				t.Errorf("instance %d has %d sockets; reached %v, put into the room %v, %v", i, len(io.Sockets()), mine, members, err)
			}
			reached = append(reached, mine...)
		}
		if slices.Sort(reached); !slices.Equal(reached, ids) {
			t.Errorf("reached %v, want %v", reached, ids)
		}
	})
}

// TestRoomsOfSockets asks which sockets are in a room and in which rooms a socket is.
func TestRoomsOfSockets(t *testing.T) {
	t.Parallel()
	play(t, func(io *socketio.Server) {
		_ = io.OnConnection(func(s *socketio.Socket) {
			s.On("join", func(_ context.Context, e *socketio.Event) error {
				before := s.Rooms()
				err := errors.Join(s.Join("x"), s.Join("y", "z"), s.Leave("z"), s.Leave("never")) // SOC-021
				return errors.Join(err, e.Ack(len(before) == 1 && before[0] == s.ID(), s.Rooms()[1:]))
			})
			s.On("leave", func(_ context.Context, e *socketio.Event) error { return errors.Join(s.Leave("y"), e.Ack()) })
		})
	}, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for _, k := range clients {
			k.send(`421["join"]`)
			k.expect(`431[true,["x","y"]]`) // SOC-020
		}
		clients[0].send(`421["leave"]`)
		clients[0].expect(`431[]`)
		zero := clients[0].id
		for _, io := range c.apps {
			for room, want := range map[string]int{"x": 6, "y": 5, "z": 0, "never": 0} { // ADP-001, ADP-002
				if got, err := io.To(room).SocketIDs(t.Context()); len(got) != want || err != nil {
					t.Errorf("%s: got %v, %v, want %d", room, got, err, want)
				}
			}
			for id, want := range map[string][]string{zero: {zero, "x"}, clients[1].id: {clients[1].id, "x", "y"}, "unknown": nil} { // ADP-002
				got, err := io.In(id).FetchSockets(t.Context())
				if err != nil || len(got) != min(1, len(want)) || len(got) == 1 && !slices.Equal(got[0].Rooms(), want) {
					t.Errorf("%s: got %d sockets, %v, want %v", id, len(got), err, want)
				}
			}
			got, err := io.To("x", "y").Except("y").FetchSockets(t.Context()) // ADP-005
			if err != nil || !slices.Equal(idsOf(got), []string{zero}) {
				t.Errorf("got %v, %v", idsOf(got), err)
			}
			got, err = io.To("y").Except(ids...).FetchSockets(t.Context()) // ADP-005
			if err != nil || len(got) != 0 {
				t.Errorf("got %v, %v", idsOf(got), err)
			}
			err = errors.Join(io.In(zero).SocketsLeave("x"), io.In(zero).SocketsLeave("x"), io.In(zero).SocketsJoin("x")) // ADP-004
			// The next instance need not see what this one has not been confirmed.
			if err = errors.Join(err, io.Flush(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestVolatileAnywhere: a WebSocket that takes bytes gets what is volatile, also behind other packets.
func TestVolatileAnywhere(t *testing.T) {
	t.Parallel()
	const one, all = `451-["v",{"_placeholder":true,"num":0}]`, `451-["all",{"_placeholder":true,"num":0}]`
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		for _, io := range c.apps {
			for _, s := range io.Sockets() {
				if err := errors.Join(s.Emit("e"), s.Volatile().Emit("v", []byte("x")), s.Volatile().Emit("v", []byte("y"))); err != nil {
					t.Fatal(err)
				}
				k := clients[slices.IndexFunc(clients, func(k *client) bool { return k.id == s.ID() })]
				k.expect(`42["e"]`, one, "x", one, "y") // SOC-043, SOC-044, SOC-045, SOC-046
			}
			if err := errors.Join(io.Volatile().Emit("all", []byte("x")), io.Volatile().Emit("all", []byte("y"))); err != nil {
				t.Fatal(err)
			}
			for _, k := range clients {
				k.expect(all, "x", all, "y") // BRO-010, BRO-011
			}
		}
	})
}
