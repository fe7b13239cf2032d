package protocol_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// PAR-011: the names no event may have, and no other.
func TestReserved(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if !protocol.Reserved(name) {
			t.Errorf("Reserved(%q) = false, want true", name)
		}
	}
	for _, name := range []string{"", "message", "error", "connection", "Connect", "connect ", "removeListeners"} {
		if protocol.Reserved(name) {
			t.Errorf("Reserved(%q) = true, want false", name)
		}
	}
}

func TestEventName(t *testing.T) {
	for _, raw := range []string{
		`""`, `"a"`, `"hello world"`, `"é日😀"`, `"\"\\\/\b\f\n\r\t"`, `"\u0063onnect"`, `"\u00e9\u65e5"`, `"\ud83d\ude00"`,
		`"\ud83d"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\ud83d\ude00"`, `"\ude00\ud83d"`, `"\uD83D\uDE00!"`, `"\ufffd"`, `"\u0000"`,
		`"\ud83d\u0041"`,
	} {
		var want string
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatal(err)
		}
		if got, err := protocol.EventName([]byte(raw)); err != nil || got != want {
			t.Errorf("EventName(%s) = %q, %v; want %q", raw, got, err, want)
		}
	}
	// PAR-009: a number is a name too.
	for _, raw := range []string{`0`, `1`, `-1`, `42`, `1.5`, `1e3`, `12345678901234567890123`} {
		if got, err := protocol.EventName([]byte(raw)); err != nil || got != raw {
			t.Errorf("EventName(%s) = %q, %v; want %q", raw, got, err, raw)
		}
	}
	// PAR-010: nothing else is.
	for _, raw := range []string{``, `null`, `true`, `{}`, `[]`, ` "a"`, `"a" `, `"a`, `"`, `"\x"`, `-`, `1x`, `01`, "\"\xff\""} {
		if got, err := protocol.EventName([]byte(raw)); !errors.Is(err, protocol.ErrMalformed) || got != "" {
			t.Errorf("EventName(%q) = %q, %v; want ErrMalformed", raw, got, err)
		}
	}
}

func TestPlaceholder(t *testing.T) {
	for _, num := range []int{0, 1, 9, 10, 999999} {
		raw := protocol.AppendPlaceholder([]byte("x"), num)
		var object struct {
			Placeholder bool `json:"_placeholder"`
			Num         int  `json:"num"`
		}
		if err := json.Unmarshal(raw[1:], &object); err != nil || !object.Placeholder || object.Num != num {
			t.Errorf("AppendPlaceholder(%d) = %s, %v", num, raw, err)
		}
		if got, ok := protocol.Placeholder(raw[1:]); got != num || !ok {
			t.Errorf("Placeholder(%s) = %d, %v; want %d, true", raw[1:], got, ok, num)
		}
	}
	for raw, want := range map[string]int{
		`{"num":3,"_placeholder":true}`:                                    3,
		" {\t\"_placeholder\" : true ,\r\n \"num\" : 7 } ":                 7,
		`{"\u005f\u0070laceholder":true,"\u006e\u0075\u006d":12}`:          12,
		`{"_\u0070\u006caceholder":true,"num":1}`:                          1,
		`{"\u005f\u0070\u006c\u0061\u0063\u0065\u0068older":true,"num":2}`: 2,
	} {
		if got, ok := protocol.Placeholder([]byte(raw)); got != want || !ok {
			t.Errorf("Placeholder(%s) = %d, %v; want %d, true", raw, got, ok, want)
		}
	}
	// PAR-019: what a placeholder is not.
	for _, raw := range append([]string{
		`{"_placeholder":true}`, `{"num":0}`, `{"_placeholder":false,"num":0}`, `{"_placeholder":1,"num":0}`,
		`{"_placeholder":true,"num":"0"}`, `{"_placeholder":true,"num":-1}`, `{"_placeholder":true,"num":1.0}`,
		`{"_placeholder":true,"num":9999999999}`, `{"_placeholder":true,"num":0,"x":0}`, `{"_placeholder":true,"x":0,"num":0}`,
		`{"_placeholder":true,"num":0,"num":0}`, `{"_placeholder":true,"_placeholder":true}`, `{"_placeholder":true,"num":[0]}`,
		`[{"_placeholder":true,"num":0}]`, `{"a":{"_placeholder":true,"num":0}}`, `{"_placeholder":true,"num":0}}`,
		`{"_placeholder":true,"num":0} x`, `{"_placeholder":true,"num":0`, `{"_placeholder":true,"num":0,`,
		`{"_placeholder":true,"num"`, `{"_placeholder":tru,"num":0}`, `{"_placeholder" true,"num":0}`, `{"_placeholder":true "num":0}`,
		`{"_placeholder":true,"num":0,}`, `{"_placeholdeR":true,"num":0}`, `{_placeholder:true,"num":0}`, `{"_placeholder\x":true,"num":0}`,
	}, values()...) {
		if got, ok := protocol.Placeholder([]byte(raw)); ok {
			t.Errorf("Placeholder(%q) = %d, true; want false", raw, got)
		}
	}
}
