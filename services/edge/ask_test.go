package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func (a *app) ask(request uint64, flags wire.Flags, s wire.Selector, within time.Duration, json string) {
	a.tb.Helper()
	r := &wire.Record{Kind: wire.KindAsk, Flags: flags, Namespace: []byte("/"), Origin: a.addr.Instance, Ack: request}
	r.Body = append(wire.AppendAsk(nil, s, within), packet(json)...)
	a.w.ring.append(a.w.edge.Self(), r)
	a.w.settle()
}

// told renders the records about asks that an app got.
func (a *app) told() (lines []string) {
	a.tb.Helper()
	for _, r := range a.records() {
		switch r.Kind {
		case wire.KindAskIDs, wire.KindAskEnd:
			ids, err := wire.ParseStrings(r.Body)
			if err != nil || r.Flags&wire.FlagControl == 0 {
				a.tb.Errorf("kind %d: %v, flags %b", r.Kind, err, r.Flags)
			}
			slices.Sort(ids)
			lines = append(lines, fmt.Sprintf("%d of %d: %v", r.Kind, r.Ack, ids))
		case wire.KindAskReply:
			id, body, err := wire.ReadReply(r.Body)
			if err != nil {
				a.tb.Errorf("reply: %v", err)
			}
			p, err := wire.ParsePacket(body, nil)
			lines = append(lines, fmt.Sprintf("reply to %d of %s: %s %d %v", r.Ack, id, p.JSON, len(p.Attachments), err))
		default:
		}
	}
	return lines
}

func (a *app) expectTold(want ...string) {
	a.tb.Helper()
	if got := a.told(); !slices.Equal(got, want) {
		a.tb.Errorf("told %q, want %q", got, want)
	}
}

// joinNamed joins the namespace / and returns the client and its socket id.
func (w *world) joinNamed(a *app) (*client, string) {
	c := w.join("/")
	_, connect := a.connect()
	return c, connect.GetSocketId()
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxAcks: 2})
		app := w.newApp(true, "/")
		a, first := w.joinNamed(app)
		b, second := w.joinNamed(app)
		both := []string{first, second}
		slices.Sort(both)
		ids := "[" + strings.Join(both, " ") + "]"
		app.records()

		app.ask(7, 0, wire.Selector{}, time.Second, `["q",1]`)
		const one = `421073741825["q",1]`
		a.expect(one)
		b.expect(one)
		app.expectTold("9 of 7: " + ids)
		a.send(`431073741825["yes",2]`)
		w.settle()
		app.expectTold(fmt.Sprintf(`reply to 7 of %s: ["yes",2] 0 <nil>`, first))
		a.send(`431073741825["again"]`)
		b.send(`461-1073741825[{"_placeholder":true,"num":0}]`)
		b.sendBinary("x")
		w.settle()
		app.expectTold( // BRO-013, CLU-007
			fmt.Sprintf(`reply to 7 of %s: [{"_placeholder":true,"num":0}] 1 <nil>`, second), "11 of 7: []")
		w.edge.asks.mu.Lock()
		if n := len(w.edge.asks.open); n != 0 {
			t.Errorf("%d asks are kept", n)
		}
		w.edge.asks.mu.Unlock()

		app.ask(8, 0, wire.Selector{}, time.Second, `["q"]`) // BRO-014: one is silent
		a.send(`431073741826[]`)
		w.pass(2 * time.Second)
		a.take()
		b.take()
		app.expectTold("9 of 8: "+ids, fmt.Sprintf(`reply to 8 of %s: [] 0 <nil>`, first), "11 of 8: ["+second+"]")
		b.send(`431073741826["late"]`)
		w.settle()
		app.expectTold()
		for _, sk := range w.edge.table.all() { // BRO-015, CLU-009: nothing is kept
			if sk.acks.waiting() {
				t.Error("an acknowledgement is still expected")
			}
		}

		app.ask(9, 0, wire.Selector{}, time.Hour, `["q"]`) // one leaves
		a.send(`431073741827[]`)
		w.settle()
		b.send("41")
		w.settle()
		app.expectTold("9 of 9: "+ids, fmt.Sprintf(`reply to 9 of %s: [] 0 <nil>`, first), "11 of 9: ["+second+"]")
		a.take()

		app.ask(10, 0, wire.Selector{Rooms: []string{"none"}}, time.Hour, `["q"]`) // BRO-016
		app.expectTold("9 of 10: []", "11 of 10: []")
		app.ask(11, wire.FlagLocal, wire.Selector{}, time.Millisecond, `["q"]`)
		app.expectTold("9 of 11: ["+first+"]", "11 of 11: ["+first+"]")
		a.expect(`421073741829["q"]`)

		for n := range uint64(3) { // MaxAcks: the third gets the event, but is not waited for
			app.ask(20+n, 0, wire.Selector{}, time.Hour, `["q"]`)
		}
		app.expectTold("9 of 20: ["+first+"]", "9 of 21: ["+first+"]", "9 of 22: ["+first+"]", "11 of 22: ["+first+"]")
		if got := a.take(); len(got) != 3 {
			t.Errorf("got %q", got)
		}
		foreign := &wire.Record{Kind: wire.KindAsk, Namespace: []byte("/"), Origin: mesh.NewInstanceID(), Ack: 1}
		foreign.Body = append(wire.AppendAsk(nil, wire.Selector{}, time.Second), packet(`["q"]`)...)
		unreadable := &wire.Record{Kind: wire.KindAsk, Namespace: []byte("/"), Origin: app.addr.Instance, Ack: 30, Body: wire.AppendAsk(nil, wire.Selector{}, time.Second)}
		w.ring.append(w.edge.Self(), foreign, unreadable)
		w.pass(2 * time.Second)
		app.expectTold("11 of 30: []")
		if got := a.take(); len(got) != 1 { // from somebody unknown: delivered, and nobody to tell
			t.Errorf("got %q", got)
		}
		a.wantOpen()
	})
}

// TestAskOfBlockedClient checks that an answer gets through while the client's events are held.
func TestAskOfBlockedClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 1, MaxHeld: 1000})
		app := w.newApp(true, "/")
		a, first := w.joinNamed(app)
		of, _ := app.connect()
		app.records()
		a.send(`42["one"]`, `42["two"]`, `42["three"]`) // more than the credit: the client is not read
		w.settle()
		app.expect(wire.KindEvent)
		if !a.unread() {
			t.Fatal("the client is read")
		}
		app.ask(1, 0, wire.Selector{}, time.Second, `["q"]`)
		a.expect(`421073741825["q"]`)
		a.send(`431073741825["got through"]`)
		w.settle()
		app.expectTold("9 of 1: ["+first+"]", fmt.Sprintf(`reply to 1 of %s: ["got through"] 0 <nil>`, first), "11 of 1: []")
		a.send(`42["four"]`)
		w.settle()
		if !a.unread() {
			t.Error("the client is read, though nobody waits for it any more")
		}
		app.ask(2, 0, wire.Selector{}, time.Second, `["q"]`)
		w.pass(2 * time.Second) // nobody answers
		app.expectTold("9 of 2: ["+first+"]", "11 of 2: ["+first+"]")
		a.send(`42["five"]`)
		w.settle()
		if !a.unread() {
			t.Error("the client is read after the time was over")
		}
		app.ask(3, 0, wire.Selector{}, time.Hour, `["q"]`)
		a.send(`42["` + strings.Repeat("x", 1000) + `"]`) // beyond what may be held: the ask fails
		w.settle()
		app.expectTold("9 of 3: ["+first+"]", "11 of 3: ["+first+"]")
		app.ask(4, 0, wire.Selector{}, time.Hour, `["q"]`) // the answer could not get through
		app.expectTold("9 of 4: ["+first+"]", "11 of 4: ["+first+"]")
		app.do(of, handled(2), handled(3), handled(4), handled(5), handled(6), handled(7))
		a.wantOpen()
	})
}
