package link

import "time"

// maxBackoff is the longest wait between two resends.
const maxBackoff = 500 * time.Millisecond

// timing is how long a sender puts up with silence.
type timing struct {
	resendAfter, stuckAfter time.Duration
	scan                    time.Duration // between two looks
}

// silence tells a sender when to try again and when to give up. It is looked at from time to time, not on every event: the
// times are measured from the look that first saw the silence.
type silence struct {
	on     bool          // something was outstanding at the last look
	marked uint64        // at the last look
	last   time.Time     // of the last look
	since  time.Time     // of the silence, or of the last resend
	wait   time.Duration // before the next resend
	stuck  time.Duration // time without progress in which there should have been some
}

// verdict is what a look at a sender says.
type verdict int

const (
	fine  verdict = iota
	again         // the last frame is to be sent again: if records are missing, the receiver will say which
	stuck         // the link is to be broken
)

// look is called every t.scan. Connected says that frames can leave; healthy says that, by all signs but this link, the peer
// is alive: only then does time count against the peer.
func (s *sender) look(now time.Time, t timing, connected, healthy bool) verdict {
	q := &s.quiet
	passed := now.Sub(q.last)
	q.last = now
	if !s.outstanding() {
		q.on = false
		return fine
	}
	if !q.on || s.marked != q.marked {
		*q = silence{on: true, marked: s.marked, last: now, since: now, wait: t.resendAfter}
		return fine
	}
	if connected && healthy {
		q.stuck += min(passed, 2*t.scan) // a process that was stopped must not take its own sleep for the peer's
		if q.stuck >= t.stuckAfter {
			return stuck
		}
	}
	if !connected || now.Sub(q.since) < q.wait {
		return fine
	}
	q.since = now
	q.wait = min(2*q.wait, max(maxBackoff, t.resendAfter))
	s.probe = true
	return again
}

// reconnected makes everything that is not marked the next to be sent: what was on its way is probably lost.
func (s *sender) reconnected() {
	s.rewind()
	s.quiet.on = false
}
