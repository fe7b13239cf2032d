package protocol_test

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// vector is one line of testdata/vectors.json: a text packet and what it says.
// Absent fields are those the packet does not have. Rule names the line of the
// checklist it comes from.
type vector struct {
	Rule        string  `json:"rule"`
	Name        string  `json:"name"`
	Wire        string  `json:"wire"`
	Canonical   string  `json:"canonical"` // what Append writes, where it differs from Wire
	Type        string  `json:"type"`
	Namespace   string  `json:"namespace"`
	ID          *string `json:"id"`
	Attachments int     `json:"attachments"`
	Data        *string `json:"data"`
	Event       *string `json:"event"`
}

func (v vector) packet(tb testing.TB) protocol.Packet {
	tb.Helper()
	p := protocol.Packet{
		Namespace: []byte(v.Namespace), ID: optional(v.ID), Attachments: v.Attachments,
		Data: optional(v.Data), Event: optional(v.Event),
	}
	for t := protocol.Connect; t <= protocol.BinaryAck; t++ {
		if t.String() == v.Type {
			p.Type = t
			return p
		}
	}
	tb.Fatalf("%s: no packet type is called %q", v.Name, v.Type)
	return p
}

func optional(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	file, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(file, &all); err != nil {
		tb.Fatal(err)
	}
	if len(all) == 0 {
		tb.Fatal("testdata/vectors.json holds no vectors")
	}
	return all
}

// The vectors cite PAR-001 to PAR-007, PAR-009, PAR-011 and PAR-019.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			got, err := protocol.Parse([]byte(v.Wire), protocol.Limits{})
			if err != nil {
				t.Fatalf("%s: Parse(%q): %v", v.Rule, v.Wire, err)
			}
			if want := v.packet(t); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: Parse(%q)\n got %s\nwant %s", v.Rule, v.Wire, show(got), show(want))
			}
			want := v.Wire
			if v.Canonical != "" {
				want = v.Canonical
			}
			if got := protocol.Append([]byte("4"), v.packet(t)); string(got) != "4"+want {
				t.Errorf("%s: Append = %q, want %q", v.Rule, got, "4"+want)
			}
		})
	}
}

// A packet built by hand may leave the namespace out, and dst is kept.
func TestAppendWithoutNamespace(t *testing.T) {
	p := protocol.Packet{Type: protocol.Ack, ID: []byte("7"), Data: []byte(`[]`)}
	if got := protocol.Append([]byte("x"), p); string(got) != "x37[]" {
		t.Errorf("Append = %q, want %q", got, "x37[]")
	}
}

func TestType(t *testing.T) {
	for typ, want := range map[protocol.Type]struct {
		name   string
		binary bool
	}{
		0: {"CONNECT", false}, 1: {"DISCONNECT", false}, 2: {"EVENT", false}, 3: {"ACK", false},
		4: {"CONNECT_ERROR", false}, 5: {"BINARY_EVENT", true}, 6: {"BINARY_ACK", true}, 7: {"Type(7)", false},
	} {
		if got := typ.String(); got != want.name || typ.Binary() != want.binary {
			t.Errorf("type %d: %s, binary %v; want %s, %v", byte(typ), got, typ.Binary(), want.name, want.binary)
		}
	}
}

// A packet that was cut short is refused, unless what is left is a packet of its
// own by the reading of the oracle, which shares no code with Parse.
func TestPrefixes(t *testing.T) {
	valid := 0
	for _, v := range vectors(t) {
		for n := range len(v.Wire) {
			prefix := []byte(v.Wire[:n])
			if agree(t, prefix) {
				valid++
			}
		}
	}
	if valid == 0 {
		t.Error("no prefix was valid, want some, such as those of 0/custom")
	}
}

// agree fails the test unless Parse and the oracle read text alike, and tells
// whether it is a packet.
func agree(tb testing.TB, text []byte) bool {
	tb.Helper()
	want, valid := oracle(text)
	got, err := protocol.Parse(text, protocol.Limits{})
	switch {
	case valid && err != nil:
		tb.Errorf("Parse(%q): %v; want %s", text, err, show(want))
	case !valid && err == nil:
		tb.Errorf("Parse(%q) = %s, want an error", text, show(got))
	case valid && !reflect.DeepEqual(got, want):
		tb.Errorf("Parse(%q)\n got %s\nwant %s", text, show(got), show(want))
	}
	return valid
}
