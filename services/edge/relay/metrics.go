package relay

import "sync/atomic"

// Metrics counts what becomes of requests that concern two edges, in the order of Outcomes. The zero value is ready; safe for
// concurrent use.
type Metrics [6]atomic.Uint64

const (
	relayed   = iota // another edge has answered
	unknown          // no edge alive has the session
	ownerLost        // the edge that has it was lost, or did not answer
	aborted          // the client gave up
	failed
	served // another edge has relayed it here
)

// Outcomes names the counters of Metrics.
func Outcomes() [6]string {
	return [6]string{"relayed", "unknown", "owner_lost", "aborted", "failed", "served_for_another"}
}

func (m *Metrics) count(outcome int) { m[outcome].Add(1) }
