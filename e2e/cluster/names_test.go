package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// oddNames mean nothing to the mesh but themselves, for rooms and events: no subject, no pattern, no end of a text.
func oddNames() []string {
	return []string{
		"", " ", "*", ">", "a.>", "a.*", "a.b", "a", ".", "..", "$SYS.>", "_INBOX.x", "a b", "é", "e\u0301", "🎉 部屋", "\x00", "\n\t", `"\`, "x,y", "[]", "{}", "/", "/chat",
		"0", "null", "__proto__", "user\x00ann", strings.Repeat("é", 50_000),
	}
}

// quoted is a name as it goes over the wire.
func quoted(t *testing.T, name string) string {
	t.Helper()
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(name); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text.String())
}

func TestOddRooms(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		names := oddNames()
		io := c.app()
		want := map[string][]string{} // the rooms of each client: not more than one by one name
		for i, room := range names {
			member := ids[i%len(ids)]
			want[member] = append(want[member], room)
			if err := io.In(member).SocketsJoin(room); err != nil {
				t.Fatalf("%.20q: %v", room, err)
			}
		}
		if err := io.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		counts, err := io.Of("/").Counts(t.Context(), names...)
		if err != nil {
			t.Fatal(err)
		}
		for i, room := range names {
			member := ids[i%len(ids)]
			for _, by := range c.apps {
				if got, err := by.In(room).SocketIDs(t.Context()); err != nil || !slices.Equal(got, []string{member}) || counts[room] != 1 {
					t.Errorf("%.20q: got %v, %v, counted %d", room, got, err, counts[room])
				}
			}
			if err := errors.Join(io.To(room).Emit("to", i), io.Except(room).Emit("not to", i)); err != nil {
				t.Fatal(err)
			}
			for _, k := range clients {
				text := fmt.Sprintf(`42["not to",%d]`, i)
				if k.id == member {
					text = fmt.Sprintf(`42["to",%d]`, i)
				}
				k.expect(text)
			}
		}
		all, err := io.FetchSockets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			rooms := append([]string{s.ID()}, want[s.ID()]...)
			if got := s.Rooms(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(rooms))) {
				t.Errorf("got %.300q, want %.300q", got, rooms)
			}
		}
		if err := io.SocketsLeave(names...); err != nil {
			t.Fatal(err)
		}
		if n, err := io.In(names...).Count(t.Context()); n != 0 || err != nil {
			t.Errorf("%d are left, %v", n, err)
		}
	})
}

func TestOddEvents(t *testing.T) {
	t.Parallel()
	names := oddNames()
	play(t, func(io *socketio.Server) {
		_ = io.OnConnection(func(s *socketio.Socket) {
			for i, name := range names {
				s.On(name, func(_ context.Context, e *socketio.Event) error {
					return errors.Join(s.Emit(e.Name, i), e.Ack(i, e.Name))
				})
			}
		})
		for _, name := range names {
			io.OnServerSide(name, func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack(e.Name) })
		}
	}, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		k := clients[0]
		for i, name := range names {
			text := quoted(t, name)
			k.send(fmt.Sprintf(`42%d[%s,1]`, i, text))
			k.expect(fmt.Sprintf(`42[%s,%d]`, text, i), fmt.Sprintf(`43%d[%d,%s]`, i, i, text))
			for _, io := range c.apps {
				if err := io.Emit(name, []byte("all")); err != nil {
					t.Fatalf("%.20q: %v", name, err)
				}
				for _, k := range clients {
					k.expect(fmt.Sprintf(`451-[%s,{"_placeholder":true,"num":0}]`, text), "all")
				}
			}
			eventually(t, "the others answer", func() bool {
				replies, err := c.apps[0].ServerSideEmitWithAck(t.Context(), name)
				if err != nil || len(replies) != len(c.apps)-1 {
					return false
				}
				for _, r := range replies {
					var got string
					if err := r.Args.Bind(&got); err != nil || got != name {
						t.Errorf("%.20q: got %.20q, %v", name, got, err)
					}
				}
				return true
			})
		}
	})
}
