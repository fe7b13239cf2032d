package e2e

import "testing"

func TestEndToEnd(t *testing.T) {
	t.Log("runs the scenarios")
}
