package msgpack_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// Parts of messages, in hex: str is a string of up to 31 bytes, root a map of so many members up to 15.
func str(s string) string { return hex.EncodeToString(append([]byte{0xa0 | byte(len(s))}, s...)) }

func root(members ...string) string {
	return hex.EncodeToString([]byte{0x80 | byte(len(members))}) + strings.Join(members, "")
}

func kind(n byte) string { return str("type") + hex.EncodeToString([]byte{n}) }

var slash = str("nsp") + str("/")

// eventOf is an event whose arguments are given in hex.
func eventOf(args ...string) string {
	return root(kind(2), slash, str("data")+hex.EncodeToString([]byte{0x91 + byte(len(args))})+str("e")+strings.Join(args, ""))
}

// What other encoders write: JSON is the argument of an event.
func TestValuesOfOtherEncoders(t *testing.T) {
	for _, c := range []struct{ name, wire, json string }{
		{"integers in more bytes than they need", "97 cc01 cd0001 ce00000001 cf0000000000000001 d001 d10001 d3ffffffffffffffff", "[1,1,1,1,1,1,-1]"},
		{"uint64", "cfffffffffffffffff", "18446744073709551615"},
		{"int64", "d38000000000000000", "-9223372036854775808"},
		{"beyond 2^53", "cf0020000000000001", "9007199254740993"},
		{"float32", "92 ca3f000000 ca3dcccccd", "[0.5,0.10000000149011612]"},
		{"float32 not a number", "94 ca7fc00000 ca7f800000 caff800000 cb7ff0000000000001", "[null,null,null,null]"},
		{"float64 that is whole", "94 cb4000000000000000 cb444b1ae4d6e2ef50 cb4415af1d78b58c40 cb8000000000000000", "[2,1e+21,100000000000000000000,-0]"},
		{"small floats", "92 cb3e7ad7f29abcaf48 cb3eb0c6f7a0b5ed8d", "[1e-7,0.000001]"},
		{"str8, str16, str32", "93 d90161 da000161 db0000000161", `["a","a","a"]`},
		{"array16, array32", "92 dc000101 dd0000000101", "[[1],[1]]"},
		{"map16, map32", "92 de0001a16101 df00000001a16101", `[{"a":1},{"a":1}]`},
		{"keys twice", "82a16101a16102", `{"a":1,"a":2}`},
		{"key of a prototype", "81a95f5f70726f746f5f5f80", `{"__proto__":{}}`},
		{"timestamp 32", "d6ff00000001", `"1970-01-01T00:00:01.000Z"`},
		{"timestamp 64", "d7ff" + "ee6b27fc00000001", `"1970-01-01T00:00:01.999Z"`},
		{"timestamp 64, far", "d7ff" + "0000000300000000", `"2378-04-22T19:24:48.000Z"`},
		{"timestamp 96", "c70cff 3b9ac9ff ffffffffffffffff", `"1969-12-31T23:59:59.999Z"`},
		{"timestamp too far", "92 c70cff000000007fffffffffffffff c70cff000000008000000000000000", "[null,null]"},
		{"dates too far", "92 d700001eb208c2dc0001 d700ffe14df73d23ffff", "[null,null]"},
		{"the last dates", "92 d700001eb208c2dc0000 d700ffe14df73d240000", `["+275760-09-13T00:00:00.000Z","-271821-04-20T00:00:00.000Z"]`},
		{"undefined with another byte", "92 d400ff 01", "[null,1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := unhex(t, eventOf(strings.ReplaceAll(c.wire, " ", "")))
			got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), wire)
			if want := `["e",` + c.json + `]`; err != nil || got.data != want { // PAR-027 for what is missing in JSON
				t.Errorf("got %s, %v, want %s", got.data, err, want)
			}
			for i := range wire {
				if got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), wire[:i]); err == nil {
					t.Fatalf("the first %d of %d bytes were read as %+v", i, len(wire), got)
				}
			}
		})
	}
}

// Packets of other clients, with members in whatever order.
func TestPacketsOfOtherClients(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		want       packet
	}{
		{"connect with nil", root(kind(0), slash, str("data")+"c0"), packet{kind: protocol.Connect, namespace: "/"}},
		{"disconnect with nil", root(kind(1), slash, str("data")+"c0"), packet{kind: protocol.Disconnect, namespace: "/"}},
		{"undefined id", root(kind(2), slash, str("data")+"91"+str("e"), str("id")+"d40000"), packet{kind: protocol.Event, namespace: "/", data: `["e"]`, event: `"e"`}},
		{"type of 8 bytes", root(str("type")+"d30000000000000002", slash, str("data")+"91"+str("e")), packet{kind: protocol.Event, namespace: "/", data: `["e"]`, event: `"e"`}},
		{"largest id", root(kind(3), slash, str("id")+"cfffffffffffffffff", str("data")+"90"), packet{kind: protocol.Ack, namespace: "/", id: "18446744073709551615", data: "[]"}},
		{"other members", root(str("attachments")+"01", str("x")+"92c4010181a161c0", kind(2), slash, str("data")+"91"+str("e")), packet{kind: protocol.Event, namespace: "/", data: `["e"]`, event: `"e"`}},
		{"marked in another member", root(str("x")+"81"+str("_placeholder")+"c3", kind(2), slash, str("data")+"92"+str("e")+"c40107"), packet{kind: protocol.BinaryEvent, namespace: "/", data: `["e",{"_placeholder":true,"num":0}]`, event: `"e"`, count: 1, attachments: [][]byte{{7}}}},
		{"map16 as the root", "de0002" + kind(1) + slash, packet{kind: protocol.Disconnect, namespace: "/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), unhex(t, c.wire)); err != nil || !same(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

// Beyond what the npm package refuses.
func TestStricterThanTheNPMPackage(t *testing.T) {
	event := str("data") + "91" + str("e")
	for _, c := range []struct{ name, wire, err string }{
		{"namespace without a slash", root(kind(1), str("nsp")+str("x")), "invalid namespace"},
		{"empty namespace", root(kind(1), str("nsp")+"a0"), "invalid namespace"},
		{"namespace with a comma", root(kind(1), str("nsp")+str("/a,b")), "invalid namespace"},
		{"namespace that is not UTF-8", root(kind(1), str("nsp")+"a22fff"), "UTF-8"},
		{"namespace of bytes", root(kind(1), str("nsp")+"c4012f"), "invalid namespace"},
		{"ack without an id", root(kind(3), slash, str("data")+"90"), "invalid packet id"},
		{"id below zero", root(kind(2), slash, event, str("id")+"ff"), "invalid packet id"},
		{"id far below zero", root(kind(2), slash, event, str("id")+"d3ffffffffffffffff"), "invalid packet id"},
		{"id of a float", root(kind(2), slash, event, str("id")+"cb3ff0000000000000"), "invalid packet id"},
		{"connect with an id", root(kind(0), slash, str("id")+"01"), "invalid packet id"},
		{"type twice", root(kind(1), kind(1), slash), "second type"},
		{"nsp twice", root(kind(1), slash, slash), "second nsp"},
		{"data twice", root(kind(2), slash, event, event), "second data"},
		{"type of a float", root(str("type")+"cb4000000000000000", slash, event), "invalid packet type"},
		{"binary in a connect", root(kind(0), slash, str("data")+"81a161c40101"), "invalid payload"},
		{"binary in a connect error", root(kind(4), slash, str("data")+"81a161c40101"), "invalid payload"},
		{"event without a name", root(kind(2), slash, str("data")+"90"), "event without a name"},                     // PAR-014
		{"event named true", root(kind(2), slash, str("data")+"91c3"), "neither a string nor a number"},              // PAR-010
		{"event named null", root(kind(2), slash, str("data")+"91c0"), "neither a string nor a number"},              // PAR-010
		{"event named by a map", root(kind(2), slash, str("data")+"9180"), "neither a string nor a number"},          // PAR-010
		{"event named by bytes", root(kind(2), slash, str("data")+"91c40101"), "neither a string nor a number"},      // PAR-010
		{"event named undefined", root(kind(2), slash, str("data")+"91d40000"), "neither a string nor a number"},     // PAR-010
		{"event named NaN", root(kind(2), slash, str("data")+"91cb7ff8000000000000"), "neither a string nor a numb"}, // PAR-010
		{"string that is not UTF-8", eventOf("a1ff"), "UTF-8"},
		{"surrogate in UTF-8", eventOf("a3eda080"), "UTF-8"},
		{"key of a number", eventOf("810102"), "no string"},
		{"key nil", eventOf("81c002"), "no string"},
		{"key of bytes", eventOf("81c4016102"), "no string"},
		{"extension of type 1", eventOf("d40100"), "extension of type 1"},
		{"extension of two bytes", eventOf("d5000000"), "extension of type 0"},
		{"timestamp of 5 bytes", eventOf("c705ff0000000000"), "extension of type -1"},
		{"timestamp of too many nanoseconds", eventOf("d7ff" + "ee6b280000000001"), "extension of type -1"},
		{"no value", eventOf("c1"), "no msgpack value"},
		{"no value in another member", root(str("x")+"c1", kind(1), slash), "no msgpack value"},
		{"marked beside bytes", eventOf("c40101", "82"+str("_placeholder")+"c3"+str("num")+"00"), "illegal attachments"}, // PAR-019
		{"marked before bytes", eventOf("81"+str("_placeholder")+"c3", "c40101"), "illegal attachments"},                 // PAR-019
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), unhex(t, c.wire))
			if err == nil || !strings.Contains(err.Error(), c.err) { // PAR-030
				t.Errorf("got %+v, %v, want an error that says %q", got, err, c.err)
			}
		})
	}
}

func TestReservedNames(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		wire := root(kind(2), slash, str("data")+"91"+str(name))
		if got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), unhex(t, wire)); err == nil { // PAR-011
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestTextIsRefused(t *testing.T) {
	if _, complete, err := msgpack.NewDecoder(protocol.Limits{}).Text([]byte("40")); complete || !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("got %v, %v, want ErrMalformed", complete, err)
	}
}

func TestLimits(t *testing.T) {
	deep := func(n int) string {
		return root(kind(2), slash, str("data")+"92"+str("e")+strings.Repeat("91", n-2)+"90")
	}
	bytes := func(n int) string {
		return eventOf("dc" + hex.EncodeToString([]byte{0, byte(n)}) + strings.Repeat("c40101", n))
	}
	ignored := func(n int) string { return root(kind(1), slash, str("x")+strings.Repeat("91", n-1)+"90") }
	maps := func(n int) string { return eventOf(strings.Repeat("81a161", n-1) + "80") }
	for _, c := range []struct {
		name string
		wire string
		lim  protocol.Limits
		ok   bool
	}{
		{"depth 100", deep(100), protocol.Limits{}, true},
		{"depth 101", deep(101), protocol.Limits{}, false},
		{"depth 3", deep(3), protocol.Limits{MaxDepth: 3}, true},
		{"depth 4 of 3", deep(4), protocol.Limits{MaxDepth: 3}, false},
		{"maps of depth 99", maps(99), protocol.Limits{}, true},
		{"maps of depth 100", maps(100), protocol.Limits{}, false},
		{"depth of what is ignored", ignored(101), protocol.Limits{}, false},
		{"a million arrays", root(kind(1), slash, str("x")+strings.Repeat("91", 1_000_000)), protocol.Limits{}, false},
		{"10 attachments", bytes(10), protocol.Limits{}, true},
		{"11 attachments", bytes(11), protocol.Limits{}, false}, // PAR-017
		{"11 attachments allowed", bytes(11), protocol.Limits{MaxAttachments: 11}, true},
		{"bytes that fit", eventOf("c40401020304"), protocol.Limits{MaxBytes: len(`["e",{"_placeholder":true,"num":0}]`) + 4}, true},
		{"bytes too many", eventOf("c40401020304"), protocol.Limits{MaxBytes: len(`["e",{"_placeholder":true,"num":0}]`) + 3}, false},
		{"JSON too large", eventOf("dc0064" + strings.Repeat("c0", 100)), protocol.Limits{MaxBytes: 400}, false},
		{"a promise of 4 billion", eventOf("ddffffffff"), protocol.Limits{}, false},
		{"a promise of 4 billion members", eventOf("dfffffffff"), protocol.Limits{}, false},
		{"a promise of 4 GB", eventOf("c6ffffffff"), protocol.Limits{}, false},
		{"a promise of 4 GB of text", eventOf("dbffffffff"), protocol.Limits{}, false},
		{"a promise of 4 GB of extension", eventOf("c9ffffffff00"), protocol.Limits{}, false},
		{"a root of 4 billion members", "dfffffffff", protocol.Limits{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := read(t, msgpack.NewDecoder(c.lim), unhex(t, c.wire)); (err == nil) != c.ok {
				t.Errorf("got %+v, %v, want it to be read: %v", got, err, c.ok)
			}
		})
	}
}

// Lengths that take two and four bytes, and a decoder that reads on after a large packet and after a bad one.
func TestLongValues(t *testing.T) {
	d := msgpack.NewDecoder(protocol.Limits{})
	for _, n := range []int{65535, 65536} {
		text := `["e","` + strings.Repeat("x", n) + `",[` + strings.Repeat("0,", n-1) + `0]]`
		wire, err := msgpack.Append(nil, protocol.Packet{Type: protocol.Event, Data: []byte(text)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, d, wire); err != nil || got.data != text {
			t.Errorf("%d: got %d bytes, %v", n, len(got.data), err)
		}
		if got, err := read(t, d, wire[:len(wire)-1]); err == nil {
			t.Errorf("%d: got %d bytes of what is cut short", n, len(got.data))
		}
		text = `["e",{"_placeholder":true,"num":0}]`
		if wire, err = msgpack.Append(nil, protocol.Packet{Type: protocol.Event, Data: []byte(text)}, [][]byte{make([]byte, n)}); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, d, wire); err != nil || got.data != text || len(got.attachments[0]) != n {
			t.Errorf("%d: got %s, %v", n, got.data, err)
		}
	}
}
