package a

import (
	"os"
	"testing"
)

// Every test runs between the same two checks (ABC-005).
func TestMain(m *testing.M) { os.Exit(m.Run()) }

// ABC-001: the line is held by the function whose comment this is.
func TestDirect(t *testing.T) {
	if One() != 1 {
		t.Error("ABC-007, done otherwise")
	}
}

func TestTable(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(helper{t}) })
	}
}

type step func(helper)

var cases = []struct {
	name string
	run  step
}{
	{"first", func(h helper) { h.want(1) }}, // ABC-002
}

type helper struct{ testing.TB }

// want checks One (ABC-003, D2-001).
func (h helper) want(n int) {
	h.Helper()
	if One() != n {
		h.Error(message)
	}
}

const (
	unused  = "nothing"
	message = "ABC-004 does not hold"
)

// A local variable is not the helper.
func TestLocal(t *testing.T) {
	want := unused
	if want == "" {
		t.Error(want)
	}
}
