package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func newEncoder() *encoder { return &encoder{maxPacket: 1 << 20} }

type photo struct {
	Name string `json:"name"`
	Data []byte `json:"data,omitempty"`
	Meta any    `json:"meta,omitempty"`
	skip []byte
}

type inner struct {
	Blob Binary
}

type outer struct {
	inner
	*photo
	Hidden []byte `json:"-"`
	When   time.Time
}

type own struct{ Data []byte }

func (o own) MarshalJSON() ([]byte, error) { return []byte(`{"own":true}`), nil }

type fixed struct {
	Key [2]byte
	Two [2][]byte
}

func TestEncodeEvent(t *testing.T) {
	x, y := []byte{1, 2}, []byte{3}
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, c := range []struct {
		name        string
		args        []any
		json        string
		attachments [][]byte
	}{
		{"nothing", nil, `["e"]`, nil},
		{"SOC-001 scalars", []any{1, int64(-2), uint64(3), int32(4), 1.5, 2.0, "s", true, false, nil}, `["e",1,-2,3,4,1.5,2,"s",true,false,null]`, nil},
		{"other scalars", []any{uint8(1), float32(0.5), 1e21, math.Copysign(0, -1)}, `["e",1,0.5,1e+21,-0]`, nil},
		{"SOC-004 strings", []any{"é€𝄞", "a\"b\\c\nd", "<&>", "\xff"}, `["e","é€𝄞","a\"b\\c\nd","<&>","\ufffd"]`, nil},
		{"containers", []any{map[string]any{"b": 1, "a": []any{nil, "<"}}, []int{1}}, `["e",{"a":[null,"<"],"b":1},[1]]`, nil},
		{"raw", []any{json.RawMessage(`{"x": 1}`), json.RawMessage(nil)}, `["e",{"x": 1},null]`, nil},
		{"PAR-027 time and nil pointer", []any{when, (*photo)(nil)}, `["e","2024-05-06T07:08:09Z",null]`, nil},
		{"PAR-005 binary", []any{x, "t", Binary(y)}, `["e",{"_placeholder":true,"num":0},"t",{"_placeholder":true,"num":1}]`, [][]byte{x, y}},
		{"nil and empty binary", []any{[]byte(nil), []byte{}}, `["e",null,{"_placeholder":true,"num":0}]`, [][]byte{{}}},
		{
			"PAR-007 depth first",
			[]any{map[string]any{"b": []any{x, nil}, "a": map[string][]byte{"z": y}}, x},
			`["e",{"a":{"z":{"_placeholder":true,"num":0}},"b":[{"_placeholder":true,"num":1},null]},{"_placeholder":true,"num":2}]`,
			[][]byte{y, x, x},
		},
		{
			"struct",
			[]any{&photo{Name: "n", Data: x, Meta: map[string]any{"d": y}, skip: x}},
			`["e",{"name":"n","data":{"_placeholder":true,"num":0},"meta":{"d":{"_placeholder":true,"num":1}}}]`,
			[][]byte{x, y},
		},
		{"struct without binary", []any{photo{Name: "n", Data: []byte{}}}, `["e",{"name":"n"}]`, nil},
		{"empty binary is omitted", []any{photo{Name: "n", Data: []byte{}, Meta: x}}, `["e",{"name":"n","meta":{"_placeholder":true,"num":0}}]`, [][]byte{x}},
		{
			"embedded",
			[]any{outer{inner: inner{Blob: x}, photo: &photo{Name: "n"}, Hidden: y, When: when}},
			`["e",{"Blob":{"_placeholder":true,"num":0},"name":"n","When":"2024-05-06T07:08:09Z"}]`,
			[][]byte{x},
		},
		{"PAR-023 marshaler", []any{own{x}, []any{own{x}, y}}, `["e",{"own":true},[{"own":true},{"_placeholder":true,"num":0}]]`, [][]byte{y}},
		{
			"arrays",
			[]any{fixed{Key: [2]byte{1, 2}, Two: [2][]byte{x, y}}},
			`["e",{"Key":[1,2],"Two":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]`,
			[][]byte{x, y},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := newEncoder().event(nil, "e", c.args)
			if err != nil {
				t.Fatal(err)
			}
			p, err := wire.ParsePacket(body, nil)
			if err != nil {
				t.Fatal(err)
			}
			if string(p.JSON) != c.json {
				t.Errorf("got JSON  %s\nwant      %s", p.JSON, c.json)
			}
			if !reflect.DeepEqual(append([][]byte{}, p.Attachments...), append([][]byte{}, c.attachments...)) {
				t.Errorf("got attachments %v, want %v", p.Attachments, c.attachments)
			}
		})
	}
}

func TestEncodeAfterOtherBytes(t *testing.T) {
	prefix := []byte("prefix")
	body, err := newEncoder().event(prefix, "e", []any{[]byte{7}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := wire.ParsePacket(bytes.TrimPrefix(body, prefix), nil)
	if err != nil || string(p.JSON) != `["e",{"_placeholder":true,"num":0}]` {
		t.Fatalf("got %s, %v", p.JSON, err)
	}
}

func TestEncodeAckWithoutArguments(t *testing.T) {
	body, err := newEncoder().ack(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := wire.ParsePacket(body, nil); err != nil || string(p.JSON) != "[]" { // SOC-009
		t.Fatalf("got %s, %v", p.JSON, err)
	}
}

// What is sent is left as it is, and what becomes of it later is not sent.
func TestEncodeNeverMutates(t *testing.T) { // PAR-008
	parts := func() [][]byte { return [][]byte{{1}, {2}, {3}, {4}, {5}, []byte(`{"z":1, "a":2}`)} }
	arguments := func(p [][]byte) []any {
		deep := []any{p[0], map[string]any{"k": p[1]}, json.RawMessage(p[5])}
		return []any{deep, &photo{Data: p[2], Meta: deep}, p[3], Binary(p[4]), map[string][]byte{"b": p[0], "a": p[1]}}
	}
	used := parts()
	args := arguments(used)
	body, err := newEncoder().event(nil, "e", args)
	if err != nil {
		t.Fatal(err)
	}
	if want := arguments(parts()); !reflect.DeepEqual(args, want) {
		t.Errorf("arguments were changed: got %v, want %v", args, want)
	}
	before := string(body)
	for _, p := range used {
		clear(p)
	}
	if string(body) != before {
		t.Errorf("the packet shares memory with the arguments: %q, was %q", body, before)
	}
}

func TestEncodeErrors(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"], cycle["also"] = cycle, cycle
	binaryCycle := []any{[]byte{1}, nil}
	binaryCycle[1] = binaryCycle
	for name, arg := range map[string]any{
		"PAR-027 NaN":           math.NaN(),
		"infinity in a map":     map[string]any{"x": math.Inf(1)},
		"PAR-024 cycle":         cycle,
		"cycle through binary":  binaryCycle,
		"channel":               make(chan int),
		"raw that is no JSON":   json.RawMessage(`{`),
		"raw that is no UTF-8":  json.RawMessage("\"\xff\""),
		"nested, no UTF-8":      []any{json.RawMessage("\"\xff\"")},
		"raw that is no JSON 2": map[string]any{"r": json.RawMessage(`]`)},
	} {
		if body, err := newEncoder().event(nil, "e", []any{1, arg}); err == nil || !strings.Contains(err.Error(), "argument 2") {
			t.Errorf("%s: got %q, %v, want an error about argument 2", name, body, err)
		}
	}
	small := &encoder{maxPacket: 100}
	if _, err := small.event(nil, "e", []any{make([]byte, 100)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

func TestReservedEvents(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		_, err := newEncoder().event(nil, name, nil)
		if want := `"` + name + `" is a reserved event name`; err == nil || err.Error() != want { // SOC-019
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, name := range []string{"error", "connection", "message"} { // SOC-019: allowed
		if _, err := newEncoder().event(nil, name, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEncodeAllocatesLittle(t *testing.T) {
	c := newEncoder()
	args := []any{"room", 7, true, json.RawMessage(`{"a":1}`)}
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.event(buf, "say", args); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func FuzzEncodeString(f *testing.F) {
	for _, s := range []string{"", "a", "\x00", "\"", "\\", "é\xff", "\u2028<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := appendString(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if want := string([]rune(s)); back != want {
			t.Errorf("got %q, want %q", back, want)
		}
	})
}
