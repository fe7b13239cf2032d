package a_test

import (
	"testing"

	"example.org/m/pkg/a"
)

func FuzzOutside(f *testing.F) {
	f.Fuzz(func(t *testing.T, _ int) {
		if a.One() != a.Exported { // EF-001
			t.Error("not one")
		}
	})
}

func TestSkips(t *testing.T) {
	t.Skip("EF-002")
}
