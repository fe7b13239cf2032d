package edge

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// pack returns, as msgpack, the packet that a text and its attachments are in JSON, without the 4 of Engine.IO.
func pack(tb testing.TB, text string, attachments ...string) string {
	tb.Helper()
	p, err := protocol.Parse([]byte(text), protocol.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	var all [][]byte
	for _, a := range attachments {
		all = append(all, []byte(a))
	}
	message, err := msgpack.Append(nil, p, all)
	if err != nil {
		tb.Fatal(err)
	}
	return string(message)
}

// takePackets takes what has come, which must be packets in msgpack, and returns them as they are in JSON, with the attachments behind.
func (c *client) takePackets() (got []string) {
	c.tb.Helper()
	c.w.settle()
	for _, m := range c.take() {
		data, binary := strings.CutPrefix(m, "b:")
		p, attachments, _, err := msgpack.NewDecoder(protocol.Limits{}).Binary([]byte(data))
		if !binary || err != nil {
			c.tb.Fatalf("got %q, which is no packet in msgpack: %v", m, err)
		}
		got = append(got, fmt.Sprintf("%s%s", protocol.Append(nil, p), bytes.Join(append([][]byte{nil}, attachments...), []byte(" "))))
	}
	return got
}

func (c *client) expectPackets(want ...string) {
	c.tb.Helper()
	if got := c.takePackets(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		c.tb.Errorf("got %q, want %q", got, want)
	}
}

// joinPacked opens a session with the parser msgpack, and joins namespaces.
func (w *world) joinPacked(namespaces ...string) *client {
	w.tb.Helper()
	c := w.open()
	for _, n := range namespaces {
		c.sendBinary(pack(w.tb, "0"+n+","))
		want := "0" + n + `,{"sid":"`
		if n == "/" {
			want = `0{"sid":"`
		}
		if got := c.takePackets(); len(got) != 1 || !strings.HasPrefix(got[0], want) { // PAR-029
			w.tb.Fatalf("connect to %s: got %q", n, got)
		}
	}
	return c
}

// An app gets the same from a client with msgpack as from one with JSON, and says the same to it.
func TestMsgpackTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PacketParser: ParserMsgpack})
		app := w.newApp(true, "/", "/chat")
		c := w.joinPacked("/", "/chat")
		app.records()
		of, _ := app.connect()
		const json = `["bin",{"a":[{"_placeholder":true,"num":0}]},{"_placeholder":true,"num":1}]`
		c.sendBinary(pack(t, `2/chat,["say","é",[1,{"z":null,"a":-1.5}]]`))
		c.sendBinary(pack(t, `2/chat,18446744073709551615["ask"]`))
		c.sendBinary(pack(t, `52-/chat,7`+json, "one", "two"))
		w.settle()
		got := app.expect(wire.KindEvent, wire.KindEvent, wire.KindEvent)
		for i, want := range []struct {
			json, id    string
			attachments string
		}{
			{`["say","é",[1,{"z":null,"a":-1.5}]]`, "", ""},
			{`["ask"]`, "18446744073709551615", ""},
			{json, "7", "one two"}, // PAR-029
		} {
			p, err := wire.ParsePacket(got[i].Body, nil)
			attachments := string(bytes.Join(p.Attachments, []byte(" ")))
			if err != nil || string(p.JSON) != want.json || string(got[i].ID) != want.id || attachments != want.attachments {
				t.Errorf("event %d: got %s %q %q (%v), want %v", i, p.JSON, got[i].ID, attachments, err, want)
			}
		}
		in, out := w.m.PacketsIn[protocol.BinaryEvent].Load(), w.m.PacketsOut[protocol.BinaryEvent].Load()
		app.do(of,
			emit(0, `["e",{"_placeholder":true,"num":0}]`),
			emit(0, json, "three", "four"),
			&wire.Record{Kind: wire.KindAck, ID: []byte("18446744073709551615"), Body: packet(`["ok"]`)}, // PAR-004
			&wire.Record{Kind: wire.KindAck, ID: []byte("7"), Body: packet(`[{"_placeholder":true,"num":0}]`, "\x01")},
			broadcast(0, wire.Selector{}, json, "five", "six"),
		)
		c.expectPackets(
			`2/chat,["e",{"_placeholder":true,"num":0}]`,
			`52-/chat,`+json+" three four",
			`3/chat,18446744073709551615["ok"]`,
			`61-/chat,7[{"_placeholder":true,"num":0}]`+" \x01",
			`52-/chat,`+json+" five six",
		)
		if out = w.m.PacketsOut[protocol.BinaryEvent].Load() - out; in != 1 || out != 2 {
			t.Errorf("binary events counted: got %d in and %d out, want 1 and 2", in, out)
		}
		c.sendBinary(pack(t, "1/chat,"))
		w.settle()
		if d := disconnect(t, &app.expect(wire.KindDisconnect)[0]); d.GetReason() != "client namespace disconnect" {
			t.Errorf("got %v", d)
		}
		c.wantOpen()
	})
}

func TestMsgpackAcksOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PacketParser: ParserMsgpack})
		app := w.newApp(true, "/")
		c := w.joinPacked("/")
		app.records()
		of, _ := app.connect()
		app.do(of, emit(900, `["q"]`), emit(901, `["q"]`))
		c.expectPackets(`20["q"]`, `21["q"]`)
		c.sendBinary(pack(t, `31["one"]`))
		c.sendBinary(pack(t, `61-0[{"_placeholder":true,"num":0}]`, "x"))
		w.settle()
		got := app.expect(wire.KindReply, wire.KindReply)
		one, _ := wire.ParsePacket(got[0].Body, nil)
		two, _ := wire.ParsePacket(got[1].Body, nil)
		if got[0].Ack != 901 || string(one.JSON) != `["one"]` || got[1].Ack != 900 || len(two.Attachments) != 1 {
			t.Errorf("got %d %s, %d %s", got[0].Ack, one.JSON, got[1].Ack, two.JSON)
		}
	})
}

// What the edge itself says, and what an app says at the end, is msgpack too.
func TestMsgpackRefusalsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PacketParser: ParserMsgpack})
		app := w.newApp(false, "/", "/chat")
		c := w.open()
		c.sendBinary(pack(t, "0/nobody,"))
		c.expectPackets(`4/nobody,{"message":"Invalid namespace"}`)
		c.sendBinary(pack(t, `0/chat,{"token":"a"}`))
		w.settle()
		of, connect := app.connect()
		if got := string(connect.GetHandshake().GetAuth()); got != `{"token":"a"}` {
			t.Errorf("auth: got %s", got)
		}
		app.do(of, refuse(t, "not you", `{"retry":true,"bad":"\ud800"}`))
		c.expectPackets(`4/chat,{"message":"not you","data":{"retry":true,"bad":"` + "\uFFFD" + `"}}`)
		c.sendBinary(pack(t, "0/chat,"))
		w.settle()
		of, _ = app.connect()
		app.do(of, refuse(t, "not you", "\"\xff\""))
		c.expectPackets(`4/chat,{"message":"not you"}`)
		c.sendBinary(pack(t, "0/chat,"))
		w.settle()
		of, _ = app.connect()
		app.accept(of)
		w.settle()
		c.takePackets()
		app.do(of, &wire.Record{Kind: wire.KindClose})
		c.expectPackets("1/chat,")
		c.wantOpen()
	})
}

// Whatever is no packet in msgpack ends the connection, JSON too.
func TestMsgpackMalformed(t *testing.T) {
	for name, breaks := range map[string]func(*testing.T, *client){
		"text":           func(_ *testing.T, c *client) { c.send(`42["e"]`) },
		"trailing bytes": func(t *testing.T, c *client) { c.sendBinary(pack(t, `2["e"]`) + "\xc0") },
		"cut short":      func(t *testing.T, c *client) { m := pack(t, `2["e"]`); c.sendBinary(m[:len(m)-1]) },
		"nothing":        func(_ *testing.T, c *client) { c.sendBinary("") },
		"too deep":       func(_ *testing.T, c *client) { c.sendBinary(strings.Repeat("\x91", 200)) },
		"reserved event": func(_ *testing.T, c *client) {
			c.sendBinary("\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xaddisconnecting")
		},
		"11 attachments": func(_ *testing.T, c *client) {
			c.sendBinary("\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x9c\xa1e" + strings.Repeat("\xc4\x01x", 11))
		},
		"type of an answer": func(t *testing.T, c *client) { c.sendBinary(pack(t, `4{"message":"no"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMesh(t, Config{PacketParser: ParserMsgpack})
				app := w.newApp(true, "/")
				c := w.joinPacked("/")
				app.records()
				breaks(t, c)
				c.wantClosed()                                                                                // PAR-030
				if d := disconnect(t, &app.expect(wire.KindDisconnect)[0]); d.GetReason() != "forced close" { // PAR-028
					t.Errorf("got %v", d)
				}
			})
		})
	}
}

// Clients with JSON cannot talk to an edge with msgpack, nor the other way round: each edge has one parser (PAR-031).
func TestOneParserForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		w.newApp(true, "/")
		c := w.open()
		c.sendBinary(pack(t, "0"))
		c.wantClosed()
	})
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PacketParser: ParserMsgpack})
		w.newApp(true, "/")
		one, other := w.joinPacked("/"), w.joinPacked("/")
		one.sendBinary(pack(t, `2["cut"]`)[:5])
		one.wantClosed()
		other.sendBinary(pack(t, `2["whole"]`))
		other.wantOpen() // what one client broke is not another's
	})
}

// A packet in parts is put together from what its own client sends, whatever others send meanwhile (PAR-031).
func TestOneDecoderForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		one, other := w.join("/"), w.join("/")
		app.records()
		const first, second = `["first",{"_placeholder":true,"num":0}]`, `["second",{"_placeholder":true,"num":0}]`
		one.send(`451-` + first)
		w.settle()
		other.send(`451-` + second)
		w.settle()
		one.sendBinary("of the first")
		w.settle()
		other.sendBinary("of the second")
		w.settle()
		got := app.expect(wire.KindEvent, wire.KindEvent)
		for i, want := range []string{first + "of the first", second + "of the second"} {
			p, err := wire.ParsePacket(got[i].Body, nil)
			if err != nil || string(p.JSON)+string(bytes.Join(p.Attachments, nil)) != want {
				t.Errorf("event %d: got %s %q (%v), want %s", i, p.JSON, p.Attachments, err, want)
			}
		}
	})
}

// An app that writes no JSON, or the same bytes again and again, loses that operation and nothing else.
func TestMsgpackUnreadableOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PacketParser: ParserMsgpack})
		app := w.newApp(true, "/")
		c := w.joinPacked("/")
		of, _ := app.connect()
		often := `["e"` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 9) + `]`
		app.do(of,
			emit(0, `["e"`),
			broadcast(0, wire.Selector{}, `["e",`),
			&wire.Record{Kind: wire.KindAck, ID: []byte("1"), Body: packet("x")},
			emit(0, often, strings.Repeat("x", 200_000)),
			emit(0, `["after"]`),
		)
		c.expectPackets(`2["after"]`)
		if n := w.m.Unreadable.Load(); n != 4 {
			t.Errorf("unreadable: got %d, want 4", n)
		}
	})
}

func TestMsgpackOverPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PacketParser: ParserMsgpack})
		app := w.newApp(true, "/")
		p := w.poll()
		post := func(text string, attachments ...string) {
			body := "b" + base64.StdEncoding.EncodeToString([]byte(pack(t, text, attachments...)))
			if status, got, _ := w.request(http.MethodPost, "&sid="+p.sid, body); status != http.StatusOK {
				t.Errorf("POST: got %d %q", status, got)
			}
		}
		get := func() string {
			text, _ := strings.CutPrefix(p.get(), "b")
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			packet, attachments, _, err := msgpack.NewDecoder(protocol.Limits{}).Binary(data)
			if err != nil {
				t.Fatal(err)
			}
			return string(protocol.Append(nil, packet)) + string(bytes.Join(attachments, nil))
		}
		post("0")
		if got := get(); !strings.HasPrefix(got, `0{"sid":"`) {
			t.Errorf("connect: got %q", got)
		}
		app.records()
		of, _ := app.connect()
		post(`51-["e",{"_placeholder":true,"num":0}]`, "bytes")
		w.settle()
		app.expect(wire.KindEvent)
		app.do(of, emit(0, `["e",{"_placeholder":true,"num":0}]`, "bytes"))
		if got, want := get(), `51-["e",{"_placeholder":true,"num":0}]bytes`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestPacketParserConfig(t *testing.T) {
	for _, c := range []struct {
		cfg Config
		ok  bool
	}{
		{Config{}, true},
		{Config{PacketParser: "json"}, true},
		{Config{PacketParser: "msgpack"}, true},
		{Config{PacketParser: "xml"}, false},
		{Config{PacketParser: "json", AllowEIO3: true}, true},
		{Config{PacketParser: "msgpack", AllowEIO3: true}, false},
	} {
		if err := c.cfg.Check(); (err == nil) != c.ok {
			t.Errorf("parser %q, EIO 3 %v: got %v", c.cfg.PacketParser, c.cfg.AllowEIO3, err)
		}
	}
}

// BenchmarkMsgpackEvent is BenchmarkEvent for a client with the other parser.
func BenchmarkMsgpackEvent(b *testing.B) {
	e := newBench(b, quietBus{bus.NewMemory()})
	sk, _ := e.join()
	c := sk.conn
	c.decoder = msgpack.NewDecoder(e.s.cfg.Parser)
	message := []byte(pack(b, `2["message","a text of about the length that people write"]`))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Message(message, true)
		if i%16 == 15 {
			c.EndBatch()
			sk.flow.release(sk.flow.seq)
		}
		if i%30_000 == 29_999 { // nobody marks: begin another link before it is full
			b.StopTimer()
			e.s.links.Drop(e.app.addr.Instance)
			e.app.link = e.s.links.Link(e.app.addr)
			b.StartTimer()
		}
	}
	if n := len(sk.flow.held); n != 0 {
		b.Fatalf("%d events held", n)
	}
}

// BenchmarkMsgpackEmit is BenchmarkEmit for a client with the other parser.
func BenchmarkMsgpackEmit(b *testing.B) {
	e := newBench(b, quietBus{bus.NewMemory()})
	e.s.parser = msgpackParser{e.s.cfg.Parser}
	sk, _ := e.join()
	r := emit(0, `["message","a text of about the length that people write"]`)
	r.Socket, r.Epoch, r.Origin, r.Namespace = sk.addr, 1, e.app.addr.Instance, sk.namespace
	e.out(b, r)
}
