package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func hold(n string) string { return `{"_placeholder":true,"num":` + n + `}` }

func TestValues(t *testing.T) {
	x, y, z := []byte{1}, []byte("two"), []byte{}
	plain := args(t, `[ {"b" : 1e3, "a":[ 1.50, null]} ,"\u00e9<",{"_placeholder":true,"num":7}]`)
	binary := args(t, `[`+hold("1")+`,{"z":`+hold("0")+`,"a":["x",{"deep":`+hold("1")+`}],"s":"{\"_placeholder\":true,\"num\":0}"},3]`, x, y)
	odd := args(t, `[{ "num":0, "_placeholder" :true`+strings.Repeat(" ", 300)+`},{"\u005fplaceholder":true,"num":0}]`, z)
	for _, c := range []struct {
		name        string
		values      []any
		want        string
		attachments [][]byte
	}{
		{"none", Args{}.Values(), `[]`, nil},
		{"text, order of keys and all", plain.Values(), `[{"b" : 1e3, "a":[ 1.50, null]},"\u00e9<",{"_placeholder":true,"num":7}]`, nil},
		{ // PAR-005, PAR-007: counted in the order of the text
			"nested binary", binary.Values(),
			`[` + hold("0") + `,{"z":` + hold("1") + `,"a":["x",{"deep":` + hold("2") + `}],"s":"{\"_placeholder\":true,\"num\":0}"},3]`,
			[][]byte{y, x, y},
		},
		{"as JSON allows to write them", odd.Values(), `[` + hold("0") + `,` + hold("1") + `]`, [][]byte{z, z}},
		{
			"several mixed",
			[]any{z, binary.Values()[1], "own", map[string]any{"k": y}, odd.Values()[0], binary.Values()[0], plain.Values()[0]},
			`[` + hold("0") + `,{"z":` + hold("1") + `,"a":["x",{"deep":` + hold("2") + `}],"s":"{\"_placeholder\":true,\"num\":0}"},"own",{"k":` +
				hold("3") + `},` + hold("4") + `,` + hold("5") + `,{"b" : 1e3, "a":[ 1.50, null]}]`,
			[][]byte{z, x, y, y, z, y},
		},
		{"inside another value", []any{map[string]any{"v": plain.Values()[0]}, binary.Values()[2:]}, `[{"v":{"b":1e3,"a":[1.50,null]}},[3]]`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // encoding changes nothing
				body, err := newEncoder().ack(nil, c.values)
				if err != nil {
					t.Fatal(err)
				}
				p, err := wire.ParsePacket(body, nil)
				if err != nil {
					t.Fatal(err)
				}
				if string(p.JSON) != c.want {
					t.Errorf("got  %s\nwant %s", p.JSON, c.want)
				}
				if got, want := bytes.Join(p.Attachments, []byte("|")), bytes.Join(c.attachments, []byte("|")); !bytes.Equal(got, want) || len(p.Attachments) != len(c.attachments) {
					t.Errorf("got attachments %q, want %q", p.Attachments, c.attachments)
				}
			}
		})
	}
}

// Values neither changes the arguments nor can they be changed through it, and a packet that was encoded is a copy.
func TestValuesAreIndependent(t *testing.T) {
	data := []byte("data")
	a := args(t, `[`+hold("0")+`,"s"]`, data)
	values := a.Values()
	values[1] = "other"
	values = append(values[:1], []byte("more"), values[0])
	body, err := newEncoder().ack(nil, values)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	var second string
	if err := a.Bind(&first, &second); err != nil || string(first) != "data" || second != "s" || a.Len() != 2 {
		t.Errorf("the arguments are %q, %q now, %v", first, second, err)
	}
	clear(first)
	p, err := wire.ParsePacket(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Join(p.Attachments, []byte("|")); string(got) != "data|more|data" {
		t.Errorf("got attachments %q", got)
	}
}

func TestValuesThatCannotBeSent(t *testing.T) {
	a := args(t, `[[`+hold("0")+`]]`, make([]byte, 100))
	if _, err := newEncoder().event(nil, "e", []any{map[string]any{"v": a.Values()[0]}}); !errors.Is(err, errNested) {
		t.Errorf("binary inside another value: got %v, want %v", err, errNested)
	}
	if _, err := (&encoder{maxPacket: 300}).event(nil, "e", append(a.Values(), append(a.Values(), a.Values()...)...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

// What a client sent and what Values makes of it bind to the same.
func FuzzValues(f *testing.F) {
	f.Add(`[{"Name":"n","Data":{"_placeholder":true,"num":0},"More":[{"num":1,"_placeholder":true}]}]`, []byte("a"), []byte{})
	f.Add(`[{"_placeholder":true,"num":1},"}{",{"\u005fplaceholder":true,"num":1}]`, []byte{1}, []byte{2})
	f.Fuzz(func(t *testing.T, text string, x, y []byte) {
		if !utf8.ValidString(text) || len(text) > 1000 {
			return
		}
		a, err := decodeAck(wire.AppendPacket(nil, wire.Packet{JSON: []byte(text), Attachments: [][]byte{x, y}}))
		if err != nil || a.Len() == 0 {
			return
		}
		body, err := newEncoder().ack(nil, append([]any{[]byte("before")}, a.Values()...))
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeAck(body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Len() {
			var want, got any
			if a.Bind(append(make([]any, i), &want)...) != nil {
				return // more than encoding/json can take
			}
			if hasFree(want) {
				return // a number that meant no attachment before may mean one now
			}
			if err := again.Bind(append(make([]any, i+1), &got)...); err != nil {
				t.Fatal(err)
			}
			w, _ := json.Marshal(want)
			g, _ := json.Marshal(got)
			if !bytes.Equal(w, g) {
				t.Errorf("got %s, want %s", g, w)
			}
		}
	})
}

// hasFree reports whether there is an object that looks like a placeholder and is not.
func hasFree(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if v["_placeholder"] == true {
			return true
		}
		for _, e := range v {
			if hasFree(e) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if hasFree(e) {
				return true
			}
		}
	}
	return false
}
