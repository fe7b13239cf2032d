package engine

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package when a goroutine outlives the tests: all sessions closed
// means no goroutines (HB-013).
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
