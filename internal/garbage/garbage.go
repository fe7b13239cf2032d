// Package garbage sets how often the garbage of an edge's process is collected. An edge keeps a little for each of very many
// connections, and each of their handshakes leaves many times as much behind. Between two collections that garbage fills up
// to as much memory again as is live, and takes whole spans from what stays: memory that no object uses and that cannot be
// given back. Collecting twice as often halves that, and costs little, since what is live is small and holds few pointers.
package garbage

import (
	"os"
	"runtime/debug"
)

// percent is how much garbage there may be for what is live; Go's own is 100.
const percent = 50

// Tighten has garbage collected when it is half of what is live, unless the environment variable GOGC says something else.
func Tighten() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
