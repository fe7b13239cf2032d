package protocol_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
)

func TestRefused(t *testing.T) {
	const ph0 = `{"_placeholder":true,"num":0}`
	tests := []struct{ wire, want string }{
		// PAR-010: the name of an event is a string or a number.
		{`2[true,"foo"]`, "neither a string nor a number"},
		{`2[false]`, "neither a string nor a number"},
		{`2[null,"bar"]`, "neither a string nor a number"},
		{`2[{"toString":"foo"}]`, "neither a string nor a number"},
		{`2[["a"]]`, "neither a string nor a number"},
		{`51-[` + ph0 + `]`, "neither a string nor a number"},
		// PAR-011: reserved names, however they are written.
		{`2["connect"]`, "reserved event name"},
		{`2["connect_error"]`, "reserved event name"},
		{`2["disconnect","123"]`, "reserved event name"},
		{`2["disconnecting"]`, "reserved event name"},
		{`2["newListener"]`, "reserved event name"},
		{`2["removeListener"]`, "reserved event name"},
		{`2["\u0063onnect"]`, "reserved event name"},
		{`2["\u0072\u0065\u006d\u006f\u0076\u0065\u004c\u0069\u0073\u0074\u0065\u006E\u0065\u0072"]`, "reserved event name"},
		{`2/admin,7[ "disconnect" ]`, "reserved event name"},
		{`51-["connect",` + ph0 + `]`, "reserved event name"},
		// PAR-012: the payload of CONNECT is absent or an object.
		{`0[]`, "not an object"},
		{`0null`, "not an object"},
		{`0/admin,"invalid"`, "not an object"},
		{`0true`, "not an object"},
		{`0-1`, "not an object"},
		{`0 {}`, "not an object"},
		{`0{`, "ends too early"},
		// PAR-013: DISCONNECT has none.
		{`1{}`, "disconnect with a payload"},
		{`1/admin,{}`, "disconnect with a payload"},
		{`1null`, "disconnect with a payload"},
		// PAR-014: the payload of EVENT is a non-empty array.
		{`2`, "not an array"},
		{`212`, "not an array"},
		{`2/admin`, "not an array"},
		{`2{}`, "not an array"},
		{`2/admin,{}`, "not an array"},
		{`2/admin,"invalid`, "not an array"},
		{`2"ev"`, "not an array"},
		{`2[]`, "event without a name"},
		{`2[ ]`, "event without a name"},
		{`51-[]`, "event without a name"},
		{`2["foo"`, "ends too early"},
		{`2["foo`, "ends too early"},
		{`2["foo",`, "ends too early"},
		// PAR-015: types are 0 to 6.
		{``, "empty packet"},
		{`7`, "unknown packet type"},
		{`9`, "unknown packet type"},
		{`999`, "unknown packet type"},
		{`/`, "unknown packet type"},
		{`["foo"]`, "unknown packet type"},
		{"\x00", "unknown packet type"},
		// PAR-016: an attachment count is digits and a dash.
		{`5`, "illegal attachments"},
		{`51`, "illegal attachments"},
		{`5a-`, "illegal attachments"},
		{`51.23-`, "illegal attachments"},
		{`5-["a"]`, "illegal attachments"},
		{`5-1-["a"]`, "illegal attachments"},
		{`5+1-["a"]`, "illegal attachments"},
		{`51e0-["a"]`, "illegal attachments"},
		{`5 1-["a"]`, "illegal attachments"},
		{`501-["a"]`, "illegal attachments"},
		{`5["a"]`, "illegal attachments"},
		{`6`, "illegal attachments"},
		// PAR-017: ten of them, unless configured.
		{`511-["a"]`, "too many attachments"},
		{`611-1[]`, "too many attachments"},
		{`599999999999999999999999999999-["a"]`, "too many attachments"},
		// PAR-018: none is not a count.
		{`50-`, "illegal attachments"},
		{`50-["a"]`, "illegal attachments"},
		{`60-1[]`, "illegal attachments"},
		// PAR-019: a placeholder names one of the attachments.
		{`51-["a",{"_placeholder":true,"num":"0"}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":1}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":-1}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":-0}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":0.5}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":0e0}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":99999999999999999999}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":null}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":0,"x":1}]`, "illegal attachments"},
		{`51-["a",{"_placeholder":true,"num":5,"num":0}]`, "illegal attachments"},
		{`51-["a",{"x":[{"_pl\u0061ceholder":true,"num":3}]}]`, "illegal attachments"},
		{`52-["a",` + ph0 + `,{"num":2,"_placeholder":true}]`, "illegal attachments"},
		{`61-1[{"_placeholder":true,"num":1}]`, "illegal attachments"},
		// PAR-025: an acknowledgement id is digits.
		{`2abc["foo"]`, "not an array"},
		{`2-1["foo"]`, "not an array"},
		{`21.5["foo"]`, "not an array"},
		{`2 ["foo"]`, "not an array"},
		{`2/admin,x1["foo"]`, "not an array"},
		// Section 2.3: ACK is an array, and answers something.
		{`3`, "ack without a decimal id"},
		{`3[]`, "ack without a decimal id"},
		{`3abc[]`, "ack without a decimal id"},
		{`61-[]`, "ack without a decimal id"},
		{`31`, "not an array"},
		{`31{}`, "not an array"},
		{`31"a"`, "not an array"},
		{`61-1`, "not an array"},
		// Section 2.3: CONNECT_ERROR is a string or an object.
		{`4`, "neither a string nor an object"},
		{`4[]`, "neither a string nor an object"},
		{`4null`, "neither a string nor an object"},
		// Ids belong to events and acks.
		{`01`, "cannot have one"},
		{`01{}`, "cannot have one"},
		{`1/admin,1`, "cannot have one"},
		{`442["some","data"`, "cannot have one"},
		{`4123`, "cannot have one"},
		// A namespace ends at its comma or with the packet, and is UTF-8.
		{`2/admin["foo"]`, "not an array"},
		{`2admin,["foo"]`, "not an array"},
		{"0/a\xff,", "namespace is not UTF-8"},
		// One JSON value and nothing behind it.
		{`2["a"]x`, "bytes behind the payload"},
		{`2["a"]["b"]`, "bytes behind the payload"},
		{`2["a"],`, "bytes behind the payload"},
		{"2[\"a\"]\x00", "bytes behind the payload"},
		{`0{}{}`, "bytes behind the payload"},
		{`4"a"b`, "bytes behind the payload"},
	}
	for _, tt := range tests {
		refused(t, tt.wire, protocol.Limits{}, tt.want)
	}
}

func refused(tb testing.TB, wire string, lim protocol.Limits, want string) {
	tb.Helper()
	p, err := protocol.Parse([]byte(wire), lim)
	if !errors.Is(err, protocol.ErrMalformed) {
		tb.Errorf("Parse(%q) = %s, %v; want ErrMalformed", wire, show(p), err)
		return
	}
	if !strings.Contains(err.Error(), want) {
		tb.Errorf("Parse(%q): %q, want it to say %q", wire, err, want)
	}
	if p.Type != 0 || p.Namespace != nil || p.Data != nil {
		tb.Errorf("Parse(%q) returned %s beside its error", wire, show(p))
	}
}

// PAR-017: the limit is configurable, both ways.
func TestMaxAttachments(t *testing.T) {
	refused(t, `53-["hello"]`, protocol.Limits{MaxAttachments: 2}, "too many attachments")
	refused(t, `51000001-["hello"]`, protocol.Limits{MaxAttachments: 1 << 30}, "too many attachments")
	for _, wire := range []string{`52-["hello"]`, `512-["hello",{"_placeholder":true,"num":11}]`, `51000000-["hello"]`} {
		lim := protocol.Limits{MaxAttachments: max(2, len(wire))}
		if wire == `51000000-["hello"]` {
			lim.MaxAttachments = 1 << 30
		}
		if p, err := protocol.Parse([]byte(wire), lim); err != nil {
			t.Errorf("Parse(%q) with up to %d = %s, %v", wire, lim.MaxAttachments, show(p), err)
		}
	}
}

func TestMaxDepth(t *testing.T) {
	nest := func(n int) string { return `2["a"` + `,` + strings.Repeat(`[`, n-1) + strings.Repeat(`]`, n) }
	for _, tt := range []struct{ limit, allowed int }{{0, 100}, {-1, 100}, {2, 2}, {3, 3}, {1 << 40, 10000}} {
		lim := protocol.Limits{MaxDepth: tt.limit}
		if _, err := protocol.Parse([]byte(nest(tt.allowed)), lim); err != nil {
			t.Errorf("MaxDepth %d refused %d levels: %v", tt.limit, tt.allowed, err)
		}
		refused(t, nest(tt.allowed+1), lim, "nested too deep")
	}
	refused(t, `0{"a":{"b":1}}`, protocol.Limits{MaxDepth: 1}, "nested too deep")
	refused(t, `2`+strings.Repeat(`[`, 1<<20), protocol.Limits{}, "nested too deep")
}

func TestErrorsAreShort(t *testing.T) {
	wire := `2["` + strings.Repeat("a", 1000) + "\n" + strings.Repeat("b", 1000) + `"]`
	_, err := protocol.Parse([]byte(wire), protocol.Limits{})
	want := `malformed packet: control character in a string at byte 1003 of 2006, near "` +
		strings.Repeat("a", 16) + `\n` + strings.Repeat("b", 31) + `"`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
