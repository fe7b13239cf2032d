package garbage

import (
	"runtime/debug"
	"testing"
)

func TestTighten(t *testing.T) {
	before := debug.SetGCPercent(80)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "80")
	Tighten()
	if got := debug.SetGCPercent(80); got != 80 {
		t.Errorf("with GOGC in the environment: %d, want its 80", got)
	}
	t.Setenv("GOGC", "")
	Tighten()
	if got := debug.SetGCPercent(80); got != percent {
		t.Errorf("without GOGC: %d, want %d", got, percent)
	}
}
