package link

import (
	"slices"
	"time"
)

// refusal is that of a link whose sender may have nothing outstanding, and so would not ask again if it were lost. It is
// repeated for a while, less and less often.
type refusal struct {
	peer   *peer
	number uint32 // of the link
	reason string
	again  time.Time // when it is due
	wait   time.Duration
}

// longestWait is that before the last repetition: it comes after about 20 s, when presence has its verdict on who hears nothing.
const longestWait = 10 * time.Second

// refuseAgain has the refusal of a peer's link repeated. It is called in a turn.
func (e *Endpoint) refuseAgain(p *peer, reason string) {
	wait := e.cfg.ResendAfter
	e.refused = append(e.refused, &refusal{peer: p, number: p.in.number, reason: reason, again: time.Now().Add(wait), wait: wait})
	e.arm()
}

// repeatRefusals repeats those that are due, and reports whether any is left: not of a link that has a successor, nor of the dead.
func (e *Endpoint) repeatRefusals(now time.Time) (left bool) {
	e.turn.Lock()
	defer e.endTurn()
	e.refused = slices.DeleteFunc(e.refused, func(r *refusal) bool {
		if r.peer.in.number != r.number || r.peer.dead || r.wait > longestWait {
			return true
		}
		if !now.Before(r.again) {
			e.refuse(r.peer, r.reason)
			r.wait *= 2
			r.again = now.Add(r.wait)
		}
		return false
	})
	return len(e.refused) > 0
}
