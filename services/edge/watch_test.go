package edge

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// TestWatched checks the copies of broadcasts for sockets whose app instance asked for them.
func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		a := w.join("/")
		of, connect := app.connect()
		b := w.join("/")
		app.records()
		const json = `["e",{"_placeholder":true,"num":0}]`
		app.do(of, &wire.Record{Kind: wire.KindWatch, Body: []byte{1}}, emit(0, `["direct"]`), broadcast(0, wire.Selector{}, json, "x"))
		a.expect(`42["direct"]`, `451-`+json, "b:x")
		b.expect(`451-`+json, "b:x")
		got := app.expect(wire.KindCopy) // SOC-034: of the broadcast alone, and for the watched socket alone
		if p, err := wire.ParsePacket(got[0].Body, nil); err != nil || got[0].Socket != of.Socket || got[0].Seq != 0 ||
			string(p.JSON) != json || len(p.Attachments) != 1 || string(p.Attachments[0]) != "x" {
			t.Errorf("got a copy %+v, %v", got[0], err)
		}
		app.do(of, broadcast(0, wire.Selector{Except: []string{connect.GetSocketId()}}, `["other"]`))
		b.expect(`42["other"]`)
		app.expect() // it did not reach the socket
		app.do(of, &wire.Record{Kind: wire.KindWatch}, broadcast(0, wire.Selector{}, `["later"]`))
		a.expect(`42["later"]`)
		b.expect(`42["later"]`)
		app.expect()
	})
}

// TestNoCompress checks that the flag of an operation reaches the engine.
func TestNoCompress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{HTTPCompressionThreshold: 1})
		app := w.newApp(true, "/")
		p := w.poll()
		p.connect()
		w.settle()
		p.get()
		of, _ := app.connect()
		for _, c := range []struct {
			name string
			op   *wire.Record
			want string
		}{
			{"emit", emit(0, `["e"]`), "gzip"}, // SOC-036: compressed by default
			{"emit, plain", emit(0, `["e"]`), ""},
			{"broadcast", broadcast(0, wire.Selector{}, `["e"]`), "gzip"},
			{"broadcast, plain", broadcast(0, wire.Selector{}, `["e"]`), ""}, // BRO-012
		} {
			if strings.HasSuffix(c.name, "plain") {
				c.op.Flags |= wire.FlagNoCompress
			}
			app.do(of, c.op)
			_, _, h := w.request(http.MethodGet, "&sid="+p.sid, "", "Accept-Encoding", "gzip")
			if got := h.Get("Content-Encoding"); got != c.want {
				t.Errorf("%s: got %q, want %q", c.name, got, c.want)
			}
		}
	})
}
