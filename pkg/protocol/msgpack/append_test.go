package msgpack_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// An argument in JSON, and the msgpack it becomes.
func TestAppendValues(t *testing.T) {
	placeholder := `{"_placeholder":true,"num":0}`
	marked := "82" + str("_placeholder") + "c3" + str("num") + "00"
	ab := [][]byte{[]byte("ab")}
	for _, c := range []struct {
		name, json  string
		attachments [][]byte
		want        string
	}{
		{"largest integers", "[18446744073709551615,9223372036854775808,9223372036854775807,-9223372036854775808]", nil, "94cfffffffffffffffffcf8000000000000000cf7fffffffffffffffd38000000000000000"},
		{"beyond 64 bits", "[18446744073709551616,-9223372036854775809]", nil, "92cb43f0000000000000cbc3e0000000000000"},
		{"whole numbers", "[1.0,1e2,10E+1,-2.0,0.0,0e5,1e15]", nil, "97016464fe0000cf00038d7ea4c68000"},
		{"whole beyond 2^53", "[1e16,1e300]", nil, "92cb4341c37937e08000cb7e37e43c8800759c"},
		{"negative zero", "[-0,-0.0]", nil, "92cb8000000000000000cb8000000000000000"},
		{"too large for a float", "[1e999,-1e999,1e-999]", nil, "93cb7ff0000000000000cbfff000000000000000"},
		{"escapes", `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`, nil, "ae" + hex.EncodeToString([]byte("\"\\/\b\f\n\r\té😀"))},
		{"half a surrogate pair", `"\ud800x"`, nil, "a4efbfbd78"},
		{"escaped key", `{"\u0061":1}`, nil, "81a16101"},
		{"white space", " [ 1 , { \"a\" : [ ] , \"b\" : { } } , \"x y\" ]\n", nil, "930182a16190a16280a3782079"},
		{"brackets and commas in text", `["[,]{,}\",\"",{"a,{":1}]`, nil, "92a95b2c5d7b2c7d222c2281a3612c7b01"},
		{"no attachments", placeholder, nil, marked},
		{"an attachment", placeholder, ab, "c4026162"},
		{"an empty attachment", placeholder, [][]byte{nil}, "c400"},
		{"keys the other way, and spaces", `{ "num" : 0 , "_placeholder" : true }`, ab, "c4026162"},
		{"escaped keys", `{"\u005fplaceholder":true,"num":0}`, ab, "c4026162"},
		{"in a placeholder's place", `[{"a":` + placeholder + `},1]`, ab, "9281a161c402616201"},
		{"an attachment twice", "[" + placeholder + "," + placeholder + "]", ab, "92c4026162c4026162"},
		{"an index too high", `{"_placeholder":true,"num":1}`, ab, "82" + str("_placeholder") + "c3" + str("num") + "01"},
		{"not marked", `{"_placeholder":false,"num":0}`, ab, "82" + str("_placeholder") + "c2" + str("num") + "00"},
		{"a third key", `{"_placeholder":true,"num":0,"x":1}`, ab, "83" + str("_placeholder") + "c3" + str("num") + "00a17801"},
		{"a brace in a key", `{"}":{"a":1},"num":0}`, ab, "82a17d81a16101" + str("num") + "00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := []byte(`["e",` + c.json + `]`)
			got, err := msgpack.Append(nil, protocol.Packet{Type: protocol.Event, Data: data}, c.attachments)
			if want := eventOf(c.want); err != nil || hex.EncodeToString(got) != want {
				t.Errorf("got %x, %v\nwant %s", got, err, want)
			}
		})
	}
}

func TestAppendHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		p    protocol.Packet
		want string
	}{
		{"no namespace is /", protocol.Packet{Type: protocol.Disconnect}, root(kind(1), slash)},
		{"binary types are written as their others", protocol.Packet{Type: protocol.BinaryAck, ID: []byte("7"), Data: []byte("[]")}, root(kind(3), slash, str("data")+"90", str("id")+"07")},
		{"payload of text", protocol.Packet{Type: protocol.ConnectError, Namespace: []byte("/a"), Data: []byte(`"no"`)}, root(kind(4), str("nsp")+str("/a"), str("data")+str("no"))},
		{"id with zeros", protocol.Packet{Type: protocol.Ack, ID: []byte("007"), Data: []byte("[]")}, root(kind(3), slash, str("data")+"90", str("id")+"07")},
	} {
		if got, err := msgpack.Append(nil, c.p, nil); err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%s: got %x, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	data := func(json string) protocol.Packet { return protocol.Packet{Type: protocol.Event, Data: []byte(json)} }
	often := `["e"` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 10) + `]`
	for _, c := range []struct {
		name        string
		p           protocol.Packet
		attachments [][]byte
	}{
		{"cut short", data(`["e"`), nil},
		{"no JSON", data("x"), nil},
		{"two values", data(`["e"]["f"]`), nil},
		{"half an escape", data(`["\u00"]`), nil},
		{"an escape at the end", data(`["\`), nil},
		{"not UTF-8", data("[\"\xff\"]"), nil},
		{"too deep", data(strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)), nil},
		{"white space alone", data(" "), nil},
		{"id of text", protocol.Packet{Type: protocol.Ack, ID: []byte("x"), Data: []byte("[]")}, nil},
		{"id of more than 64 bits", protocol.Packet{Type: protocol.Ack, ID: []byte("18446744073709551616"), Data: []byte("[]")}, nil},
		{"an attachment again and again", data(often), [][]byte{make([]byte, 200_000)}},
	} {
		dst := []byte("before")
		if got, err := msgpack.Append(dst, c.p, c.attachments); string(got) != "before" || !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: got %.40x, %v, want ErrMalformed", c.name, got, err)
		}
	}
	if _, err := msgpack.Append(nil, data(often), [][]byte{make([]byte, 100_000)}); err != nil {
		t.Errorf("an attachment of 100 kB ten times: %v", err)
	}
	if _, err := msgpack.Append(nil, data(strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)), nil); err != nil {
		t.Errorf("as deep as can be: %v", err)
	}
}

// Neither what is read nor what is written from is changed (PAR-008).
func TestInputIsLeftAlone(t *testing.T) {
	good, _ := vectors(t)
	for _, v := range good {
		wire, data := v.wire(t), []byte(v.JSON)
		before := string(wire)
		p, attachments, _, err := msgpack.NewDecoder(protocol.Limits{}).Binary(wire)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := msgpack.Append(nil, p, attachments); err != nil || string(wire) != before {
			t.Errorf("%s: %v, reading it changed it: %v", v.Name, err, string(wire) != before)
		}
		p.Data = data
		if _, err := msgpack.Append(nil, p, v.attachments(t)); err != nil || string(data) != v.JSON {
			t.Errorf("%s: %v, writing it changed it: %v", v.Name, err, string(data) != v.JSON)
		}
	}
}
