package edge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// TestOrderWithinFrames: whatever a frame mixes for one client and for many, each client gets its part in the order of the frame.
func TestOrderWithinFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		const clients = 4
		var (
			to    [clients]*client
			of    [clients]*wire.Record
			want  [clients][]string
			in    [clients]bool                 // the room
			rng   = rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
			count = 0
		)
		for i := range clients {
			to[i] = w.join("/")
			of[i], _ = app.connect()
		}
		for range 200 {
			var frame []*wire.Record
			add := func(r *wire.Record, of *wire.Record) {
				r.Namespace, r.Origin = of.Namespace, app.addr.Instance
				if r.Kind != wire.KindBroadcast {
					r.Socket, r.Epoch = of.Socket, of.Epoch
				}
				frame = append(frame, r)
			}
			for range 1 + rng.IntN(2*maxFollowers) {
				count++
				event, i := fmt.Sprintf(`["%d"]`, count), rng.IntN(clients)
				switch rng.IntN(8) {
				case 0, 1:
					add(broadcast(0, wire.Selector{}, event), of[0])
					for k := range want {
						want[k] = append(want[k], "42"+event)
					}
				case 2:
					add(broadcast(0, wire.Selector{Rooms: []string{"r"}}, event), of[0])
					for k := range want {
						if in[k] {
							want[k] = append(want[k], "42"+event)
						}
					}
				case 3:
					kind := wire.KindJoin
					if in[i] = !in[i]; !in[i] {
						kind = wire.KindLeave
					}
					add(&wire.Record{Kind: kind, Body: wire.AppendStrings(nil, []string{"r"})}, of[i])
				default:
					add(emit(0, event), of[i])
					want[i] = append(want[i], "42"+event)
				}
			}
			w.ring.append(w.edge.Self(), frame...)
			w.settle()
			for i, c := range to {
				if got := c.take(); !slices.Equal(got, want[i]) {
					t.Fatalf("client %d: got %q, want %q", i, got, want[i])
				}
				want[i] = nil
			}
		}
	})
}

// TestOrderAcrossNamespaces: a client with two namespaces gets what a frame has for either in the order of the frame, up to
// the end of its connection.
func TestOrderAcrossNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/a")
		c := w.join("/", "/a")
		of, _ := app.connect() // of /a
		frame := func(then *wire.Record) {
			all := broadcast(0, wire.Selector{}, `["all"]`)
			all.Namespace, all.Origin = []byte("/"), app.addr.Instance
			then.Namespace, then.Origin, then.Socket, then.Epoch = of.Namespace, app.addr.Instance, of.Socket, of.Epoch
			w.ring.append(w.edge.Self(), all, then)
		}
		frame(emit(0, `["one"]`))
		c.expect(`42["all"]`, `42/a,["one"]`)
		frame(&wire.Record{Kind: wire.KindClose, Flags: wire.FlagClose})
		c.expect(`42["all"]`, "41/a,", "41")
		c.wantClosed()
	})
}
