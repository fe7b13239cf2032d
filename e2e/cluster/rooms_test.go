package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// record is the room events that one instance hears.
type record struct {
	mu     sync.Mutex
	events []string // guarded by mu
}

func (r *record) add(parts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, strings.Join(parts, " "))
}

// about returns what was heard of some rooms.
func (r *record) about(rooms ...string) (heard []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if slices.Contains(rooms, strings.Fields(e)[1]) {
			heard = append(heard, e)
		}
	}
	return heard
}

func TestRoomEvents(t *testing.T) {
	t.Parallel()
	var records []*record
	play(t, func(io *socketio.Server) {
		r := &record{}
		records = append(records, r)
		io.OnJoin(func(room, id string) { r.add("join", room, id) })
		io.OnLeave(func(room, id string) { r.add("leave", room, id) })
		io.OnCreateRoom(func(room string) { r.add("create", room) })
		io.OnDeleteRoom(func(room string) { r.add("delete", room) })
	}, func(t *testing.T, c *cluster, _ []*client, known []string) {
		heard := records[len(records)-len(c.apps):]
		for _, r := range heard { // an instance may have come behind the first clients
			eventually(t, "an instance hears of clients", func() bool {
				if len(r.about(known...)) == 0 {
					known = append(known, c.join("/").id)
				}
				return len(r.about(known...)) > 0
			})
		}
		one, two := c.join("/").id, c.join("/").id
		io := c.app()
		err := errors.Join(
			io.In(one).SocketsJoin("a", "a"), io.In(one).SocketsJoin("a"), io.In(two).SocketsJoin("a"),
			io.In(one).SocketsLeave("a"), io.In(one).SocketsLeave("a"), io.In(one).SocketsLeave("never"), io.In(two).DisconnectSockets(true),
		)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{ // ADP-003: real changes only, and in this order, by whatever instance and on whatever edge
			"create " + one, "join " + one + " " + one, "create " + two, "join " + two + " " + two,
			"create a", "join a " + one, "join a " + two, "leave a " + one, "leave " + two + " " + two, "delete " + two,
			"leave a " + two, "delete a",
		}
		for i, r := range heard {
			eventually(t, "all of it is heard", func() bool { return len(r.about("a", "never", one, two)) >= len(want) })
			if got := r.about("a", "never", one, two); !slices.Equal(got, want) {
				t.Errorf("instance %d: got %v, want %v", i, got, want)
			}
		}
	})
}

func TestUsers(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			c := newCluster(t, shape.edges, shape.apps, func(io *socketio.Server) {
				_ = io.Of("/users").OnConnection(func(*socketio.Socket) {})
			})
			var all []*client
			for i := range 6 {
				all = append(all, c.joinAs("/users", fmt.Sprintf(`{"token":"%d"}`, 1+i%2)))
			}
			for _, io := range c.apps {
				users := io.Of("/users")
				counts, err := users.CountUsers(t.Context(), "ann", "bob*", "", "*")
				if want := fmt.Sprint(map[string]int{"ann": 3, "bob*": 3, "": 0, "*": 0}); err != nil || fmt.Sprint(counts) != want {
					t.Errorf("got %v, %v, want %s", counts, err, want)
				}
				if n, err := users.CountUser(t.Context(), "ann"); n != 3 || err != nil {
					t.Errorf("got %d, %v", n, err)
				}
				found, err := users.ToUser("ann").Except(all[0].id).FetchSockets(t.Context())
				if err != nil || len(found) != 2 || found[0].User() != "ann" || len(found[0].Rooms()) != 1 { // the user is no room of it
					t.Errorf("got %v, %v", found, err)
				}
				for _, to := range []socketio.BroadcastOperator{users.ToUser("ann"), users.In(all[0].id).ToUser("ann"), users.Local()} {
					if err := to.ExceptUser("bob*").Emit("for", "ann"); err != nil {
						t.Error(err)
					}
				}
				local, err := users.Local().ToUser("ann").FetchSockets(t.Context())
				if err != nil || len(local) > 3 {
					t.Errorf("got %d, %v", len(local), err)
				}
				reserved := "\x00user\x00ann"
				if err := users.SocketsJoin("x", reserved); !errors.Is(err, socketio.ErrReservedRoom) {
					t.Errorf("got %v", err)
				}
				for _, s := range users.Sockets() {
					if err := s.Join(reserved); !errors.Is(err, socketio.ErrReservedRoom) {
						t.Errorf("got %v", err)
					}
				}
				if err := users.Emit("all"); err != nil {
					t.Error(err)
				}
				for i, k := range all {
					texts := []string{}
					for text := k.next(); text != `42/users,["all"]`; text = k.next() {
						texts = append(texts, text)
					}
					mine := slices.ContainsFunc(users.Sockets(), func(s *socketio.Socket) bool { return s.ID() == k.id })
					want := 2
					if mine {
						want = 3
					}
					if i%2 == 1 {
						want = 0
					}
					if len(texts) != want {
						t.Errorf("client %d got %q, want %d", i, texts, want)
					}
				}
			}
		})
	}
}
