package presence

import (
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
)

// The rules:
//
//   - Dead is who said goodbye, was silent for SuspectFor after it became suspect, or was silent for DeadAfter.
//   - No verdict from silence before the own probe, sent when the verdict became due, has come back and whatever arrived
//     ahead of it had the time to be applied.
//   - While the bus is disconnected these clocks stand still. After a reconnect, and after a probe that was so slow that
//     heartbeats must have been late too, everybody has at least SuspectFor again, because they had to reconnect as well.
//   - After a time in which this process did not run, everybody has at least SuspectFor again: the heartbeats wait behind
//     everything else that now wants to run, and whoever shares the machine did not run either.
//   - An instance that does not hear its own probe for ProbeTimeout is deaf: it must reconnect.

// roster holds everything that verdicts depend on. It has no clock of its own and does no IO: every method is told the
// time. Not safe for concurrent use.
type roster struct {
	cfg   Config
	clock clock
	peers map[mesh.InstanceID]*entry
	gone  graveyard

	lastProbe struct {
		any         bool
		sent, heard time.Duration // on clock
		at          time.Time     // when it was heard
	}
	hearing time.Duration // on clock: when the last probe was heard, or the connection made, whichever is later

	opening struct { // see Peers.Heard
		asked, answered bool
		at              time.Duration // on clock: of the question, then of the answer
	}
}

// entry is one peer that is not dead. Its times are on the roster's clock.
type entry struct {
	peer      Peer
	sequence  uint64
	heard     time.Duration
	suspected time.Duration // meaningful while peer.Suspect
	due       bool          // its silence is long enough; the own probe decides
	dueAt     time.Duration // meaningful while due
}

// happening is one change for the watchers.
type happening struct {
	change Change
	peer   Peer
	cause  cause // of a death
}

// cause says why an instance is dead. The values are label values of a metric.
type cause string

const (
	causeGoodbye cause = "goodbye"
	causeSuspect cause = "suspect"
	causeSilence cause = "silence"
)

func newRoster(cfg Config) *roster {
	return &roster{cfg: cfg, peers: map[mesh.InstanceID]*entry{}, gone: graveyard{ends: map[mesh.InstanceID]ending{}}}
}

// connection tells that the bus is, or is not, connected from now on. Telling the same twice means that the connection
// changed in between.
func (r *roster) connection(now time.Time, up bool) {
	r.clock.set(now, up)
	if up {
		t := r.clock.at(now)
		r.hearing = t
		r.forgive(t)
	}
}

// forgive leaves everybody at least SuspectFor to be heard: this instance itself could not hear until now.
func (r *roster) forgive(t time.Duration) {
	for _, e := range r.peers {
		e.heard = max(e.heard, t-max(0, r.cfg.DeadAfter-r.cfg.SuspectFor))
		e.suspected = t
		e.due = false
	}
}

// woke tells that Run's goroutine runs again now, and how late that is.
func (r *roster) woke(now time.Time, late time.Duration) {
	if late > r.cfg.Interval/2 && r.clock.running {
		r.forgive(r.clock.at(now))
	}
}

// heartbeat applies one valid heartbeat of another instance and returns what it changed.
func (r *roster) heartbeat(now time.Time, h *heartbeat) []happening {
	id, info := h.from.Instance, h.info
	if r.gone.ignores(id, info.GetSequence()) {
		return nil
	}
	e := r.peers[id]
	if e != nil && (info.GetSequence() <= e.sequence || h.from != e.peer.Address) {
		return nil
	}
	if info.GetGoodbye() {
		r.gone.bury(id, ending{sequence: info.GetSequence(), final: true})
		if e == nil {
			return nil
		}
		delete(r.peers, id)
		e.peer.Info = info
		return []happening{{Died, e.peer, causeGoodbye}}
	}
	if e == nil {
		e = &entry{peer: Peer{Address: h.from, Info: info}, sequence: info.GetSequence(), heard: r.clock.at(now)}
		r.peers[id] = e
		return []happening{{change: Up, peer: e.peer}}
	}
	return e.heartbeat(r.clock.at(now), info)
}

func (e *entry) heartbeat(t time.Duration, info *siomeshv1.Presence) []happening {
	suspect, same := e.peer.Suspect, sameButSequence(e.peer.Info, info)
	e.heard, e.sequence, e.due = t, info.GetSequence(), false
	e.peer.Suspect, e.peer.Info = false, info
	var out []happening
	if suspect {
		out = append(out, happening{change: Recovered, peer: e.peer})
	}
	if !same {
		out = append(out, happening{change: Updated, peer: e.peer})
	}
	return out
}

// sameButSequence compares two heartbeats of one instance; the second belongs to the caller alone.
func sameButSequence(old, fresh *siomeshv1.Presence) bool {
	sequence := fresh.GetSequence()
	fresh.Sequence = old.GetSequence()
	same := proto.Equal(old, fresh)
	fresh.Sequence = sequence
	return same
}

// suspect applies a report of no responders.
func (r *roster) suspect(now time.Time, id mesh.InstanceID) []happening {
	e := r.peers[id]
	if e == nil || e.peer.Suspect {
		return nil
	}
	e.peer.Suspect = true
	e.suspected = r.clock.at(now)
	return []happening{{change: Suspected, peer: e.peer}}
}

// probed tells that a probe sent at the clock's time sent came back now, on the connection it was sent on.
func (r *roster) probed(now time.Time, sent time.Duration) {
	t := r.clock.at(now)
	if t-sent > r.cfg.Interval {
		r.forgive(t)
	}
	r.hearing = t
	r.lastProbe.any, r.lastProbe.sent, r.lastProbe.heard, r.lastProbe.at = true, sent, t, now
	if o := &r.opening; o.asked && !o.answered && sent >= o.at {
		o.answered, o.at = true, t
	}
}

// patience is how long a probe sent now may take: until none was heard for ProbeTimeout, but never less than half of
// that, as after a time in which this process did not run.
func (r *roster) patience(now time.Time) time.Duration {
	return max(r.cfg.ProbeTimeout-(r.clock.at(now)-r.hearing), r.cfg.ProbeTimeout/2)
}

// deaf tells that a probe was given up now, and reports whether that means that the connection must be made anew.
func (r *roster) deaf(now time.Time) bool {
	return r.clock.running && r.clock.at(now)-r.hearing >= r.cfg.ProbeTimeout
}

// askedWho tells that everybody was asked for a heartbeat just now.
func (r *roster) askedWho(now time.Time) {
	r.opening.asked, r.opening.answered, r.opening.at = true, false, r.clock.at(now)
}

// agenda is what the roster wants done.
type agenda struct {
	probe   bool          // send a probe now: a verdict waits for it
	settled bool          // who is there is known, see Peers.Heard
	next    time.Duration // until judge should be called again, if nothing happens before
}

// never is a wait that something else ends.
const never = time.Hour

// judge gives the verdicts that are possible now and says what else is to be done.
func (r *roster) judge(now time.Time) ([]happening, agenda) {
	todo := agenda{next: never}
	if !r.clock.running {
		return nil, todo
	}
	t := r.clock.at(now)
	if o := r.opening; o.answered {
		todo.settled = t-o.at >= r.cfg.Settle
		if !todo.settled {
			todo.at(o.at+r.cfg.Settle, t)
		}
	}
	var out []happening
	for id, e := range r.peers {
		if why, dead := r.sentence(e, t, &todo); dead {
			delete(r.peers, id)
			r.gone.bury(id, ending{sequence: e.sequence})
			out = append(out, happening{Died, e.peer, why})
		}
	}
	return out, todo
}

// sentence decides on one peer at the clock's time t.
func (r *roster) sentence(e *entry, t time.Duration, todo *agenda) (cause, bool) {
	why, limit := causeSilence, e.heard+r.cfg.DeadAfter
	if s := e.suspected + r.cfg.SuspectFor; e.peer.Suspect && s < limit {
		why, limit = causeSuspect, s
	}
	if t < limit {
		todo.at(limit, t)
		return "", false
	}
	if !e.due {
		e.due, e.dueAt = true, t
	}
	if !r.lastProbe.any || r.lastProbe.sent < e.dueAt {
		todo.probe = true
		return "", false
	}
	// What the broker sent before the probe's answer may still be on its way through this process's queues.
	if applied := r.lastProbe.heard + r.cfg.Interval/10; t < applied {
		todo.at(applied, t)
		return "", false
	}
	return why, true
}

// at has judge called again when the clock shows when; now it shows t.
func (a *agenda) at(when, t time.Duration) { a.next = min(a.next, max(when-t, 0)) }

func (r *roster) healthy(now time.Time) bool {
	return r.lastProbe.any && now.Sub(r.lastProbe.at) < r.cfg.ProbeTimeout
}

// fresh: two heartbeats may be due, not more; and a probe that was sent lately came back.
func (r *roster) fresh(now time.Time, id mesh.InstanceID) bool {
	e := r.peers[id]
	if e == nil || e.peer.Suspect || !r.clock.running || !r.lastProbe.any {
		return false
	}
	t := r.clock.at(now)
	return t-e.heard <= 2*r.cfg.Interval && t-r.lastProbe.sent <= r.cfg.ProbeTimeout
}
