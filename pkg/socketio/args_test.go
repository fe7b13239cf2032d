package socketio

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func args(tb testing.TB, jsonArray string, attachments ...[]byte) Args {
	tb.Helper()
	a, err := decodeAck(wire.AppendPacket(nil, wire.Packet{JSON: []byte(jsonArray), Attachments: attachments}))
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

type custom struct{ data []byte }

func (c *custom) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &c.data) }

type upload struct {
	Name  string
	Data  []byte
	Own   custom
	More  any
	Parts map[string][]byte
	List  []struct{ Blob Binary }
}

func TestBind(t *testing.T) {
	const p0, p1 = `{"_placeholder":true,"num":0}`, `{"num":1, "_placeholder":true}`
	x, y := []byte{1, 2, 3}, []byte("four")
	for _, c := range []struct {
		name string
		args Args
		into any // pointer
		want any
	}{
		{"string", args(t, `["a"]`), new(string), "a"},
		{"escaped string", args(t, `["a\nb\u00e9"]`), new(string), "a\nbé"},
		{"int", args(t, `[12]`), new(int), 12},
		{"int64", args(t, `[-12]`), new(int64), int64(-12)},
		{"uint8", args(t, `[200]`), new(uint8), uint8(200)},
		{"float", args(t, `[1.5e3]`), new(float64), 1500.0},
		{"bool", args(t, `[true]`), new(bool), true},
		{"false", args(t, `[false]`), new(bool), false},
		{"null leaves zero", args(t, `[null]`), new(int), 0},
		{"null leaves what there is", args(t, `[null]`), func() *bool { yes := true; return &yes }(), true},
		{"any", args(t, `[{"a":[1,null]}]`), new(any), map[string]any{"a": []any{1.0, nil}}},
		{"raw", args(t, `[{"a": 1}]`), new(json.RawMessage), json.RawMessage(`{"a": 1}`)},
		{"time", args(t, `["2024-05-06T07:08:09Z"]`), new(time.Time), time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)},
		{"SOC-002 binary", args(t, `[`+p0+`]`, x), new([]byte), x},
		{"binary type", args(t, `[`+p0+`]`, x), new(Binary), Binary(x)},
		{"binary into any", args(t, `[`+p0+`]`, x), new(any), any(x)},
		{"placeholder without attachments is data", args(t, `[`+p0+`]`), new(any), map[string]any{"_placeholder": true, "num": 0.0}},
		{
			"nested any", args(t, `[{"a":`+p1+`,"b":[`+p0+`,"s",{"_placeholder":true}],"c":{"d":`+p0+`}}]`, x, y), new(any),
			map[string]any{"a": y, "b": []any{x, "s", map[string]any{"_placeholder": true}}, "c": map[string]any{"d": x}},
		},
		{"twice", args(t, `[[`+p0+`,`+p0+`]]`, x), new([][]byte), [][]byte{x, x}},
		{
			"long and escaped placeholders", args(t, `[[{"_placeholder":true,`+strings.Repeat(" ", 300)+`"num":0},{"\u005fplaceholder":true,"num":1}]]`, x, y),
			new(any),
			[]any{x, y},
		},
		{"map of structs", args(t, `[{"k":{"D":`+p0+`}}]`, x), new(map[string]struct{ D any }), map[string]struct{ D any }{"k": {D: x}}},
		{"string that looks like one", args(t, `[["{\"_placeholder\":true,\"num\":0}",`+p0+`]]`, x), new([]any), []any{`{"_placeholder":true,"num":0}`, x}},
		{
			"struct", args(t, `[{"Name":"n","Data":`+p0+`,"Own":`+p1+`,"More":[`+p1+`],"Parts":{"p":`+p0+`},"List":[{"Blob":`+p1+`}]}]`, x, y), new(upload),
			upload{Name: "n", Data: x, Own: custom{y}, More: []any{y}, Parts: map[string][]byte{"p": x}, List: []struct{ Blob Binary }{{y}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.args.Bind(c.into); err != nil {
				t.Fatal(err)
			}
			if got := reflect.ValueOf(c.into).Elem().Interface(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestBindSeveral(t *testing.T) {
	a := args(t, `["a",2,"c"]`)
	var first, third string
	if err := a.Bind(&first, nil, &third); err != nil || first != "a" || third != "c" {
		t.Errorf("got %q, %q, %v", first, third, err)
	}
	if a.Len() != 3 || string(a.Raw(1)) != "2" || a.Raw(3) != nil || a.Raw(-1) != nil {
		t.Errorf("got Len %d, Raw(1) %s", a.Len(), a.Raw(1))
	}
	var rest []any
	if err := a.Bind(nil, nil, nil, &rest); !errors.Is(err, ErrMissingArgument) {
		t.Errorf("got %v, want %v", err, ErrMissingArgument)
	}
}

func TestBindErrors(t *testing.T) {
	const p0 = `{"_placeholder":true,"num":0}`
	for name, c := range map[string]struct {
		args Args
		into any
	}{
		"wrong type":              {args(t, `["a"]`), new(int)},
		"no pointer":              {args(t, `["a"]`), ""},
		"nil pointer":             {args(t, `[1]`), (*uint)(nil)},
		"binary into a string":    {args(t, `[`+p0+`]`, []byte{1}), new(string)},
		"binary into nil pointer": {args(t, `[`+p0+`]`, []byte{1}), (*Binary2)(nil)},
		"binary into a field":     {args(t, `[{"Name":`+p0+`}]`, []byte{1}), new(upload)},
		"overflow":                {args(t, `[300]`), new(uint8)},
	} {
		if err := c.args.Bind(c.into); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

type Binary2 []byte

func TestDecodeEvent(t *testing.T) {
	for text, want := range map[string]string{`["say",1]`: "say", `[1,2]`: "1", `["s\u0061y"]`: "say"} { // PAR-009
		name, a, err := decodeEvent(nil, wire.AppendPacket(nil, wire.Packet{JSON: []byte(text)}))
		if err != nil || name != want || a.Len() > 1 {
			t.Errorf("%s: got %q, %d arguments, %v", text, name, a.Len(), err)
		}
	}
	for _, text := range []string{`[]`, `{}`, `[null]`, `[`} {
		if name, _, err := decodeEvent(nil, wire.AppendPacket(nil, wire.Packet{JSON: []byte(text)})); err == nil {
			t.Errorf("%s: got %q, want an error", text, name)
		}
	}
}

// What was encoded decodes to the same, whatever the bytes.
func FuzzRoundTrip(f *testing.F) {
	f.Add("text", []byte("bin"), `{"a":[1,2]}`)
	f.Add("\n\r", []byte{}, `"{\"_placeholder\":true,\"num\":0}"`)
	f.Add("_placeholder", []byte{0}, `[{"_placeholder":true,"num":1},{"_placeholder":true}]`)
	f.Fuzz(func(t *testing.T, s string, data []byte, text string) {
		if !verbatim(s) || !json.Valid([]byte(text)) || !utf8.ValidString(text) || len(text) > 1000 || data == nil {
			return // nothing that can round-trip
		}
		body, err := newEncoder().event(nil, "e", []any{map[string]any{"s": s, "d": data}, json.RawMessage(text)})
		if err != nil {
			t.Fatal(err)
		}
		_, a, err := decodeEvent(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		var free any
		if err := a.Bind(&got); err != nil || !reflect.DeepEqual(got, map[string]any{"s": s, "d": data}) {
			t.Errorf("got %v, %v", got, err)
		}
		if err := a.Bind(nil, &free); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}

// Whatever a client sends, Bind never panics, and plain data stays what encoding/json makes of it.
func FuzzBind(f *testing.F) {
	f.Add(`[{"Name":"n","Data":{"_placeholder":true,"num":0},"More":[{"num":1,"_placeholder":true}]}]`, []byte("a"), []byte{})
	f.Add(`[{"_placeholder":true,"num":2},{"_placeholder":true,"num":1}]`, []byte{1}, []byte{2})
	f.Add(`["_placeholder","\n\r",{"a":{"_placeholder":true,"num":"0"}}]`, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, text string, x, y []byte) {
		if !utf8.ValidString(text) {
			return // the edge lets nothing else pass
		}
		plain, err := decodeAck(wire.AppendPacket(nil, wire.Packet{JSON: []byte(text)}))
		if err != nil {
			return
		}
		a, err := decodeAck(wire.AppendPacket(nil, wire.Packet{JSON: []byte(text), Attachments: [][]byte{x, y}}))
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Len() {
			targets := make([]any, i+1)
			for _, target := range []any{new(any), new(upload), new(map[string]any), new([]any), new(string), new([]byte), new(int)} {
				targets[i] = target
				_ = a.Bind(targets...)
			}
			var got, want any
			targets[i] = &got
			if err := plain.Bind(targets...); err != nil {
				t.Fatalf("%s: %v", plain.Raw(i), err)
			}
			if err := json.Unmarshal(plain.Raw(i), &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v, %v", got, want, err)
			}
		}
	})
}
