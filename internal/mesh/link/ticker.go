package link

import (
	"context"
	"sync/atomic"
	"time"
)

// ticker is what wakes an endpoint that receives nothing: two timers that run only while they are needed, and flags.
type ticker struct {
	timing      timing
	marks       *time.Timer // runs while marks are due
	scan        *time.Timer // runs while records are outstanding
	armed       atomic.Bool // scan runs, or is about to
	reconnected atomic.Bool
}

// setUp makes the timers, stopped.
func (t *ticker) setUp(cfg Config) {
	t.marks, t.scan = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	t.marks.Stop()
	t.scan.Stop()
	t.timing = timing{resendAfter: cfg.ResendAfter, stuckAfter: cfg.StuckAfter, scan: max(cfg.ResendAfter/3, time.Millisecond)}
}

// arm starts the watch over what is outstanding.
func (e *Endpoint) arm() {
	if !e.tick.armed.Load() && !e.tick.armed.Swap(true) {
		wake(e.alarm)
	}
}

// soon runs f in a turn, soon. It may be called under any lock.
func (e *Endpoint) soon(f func()) {
	e.choresMu.Lock()
	e.chores = append(e.chores, f)
	e.waiting.Store(int32(len(e.chores)))
	e.choresMu.Unlock()
	wake(e.alarm)
}

// endTurn runs what was left to be done in a turn, and ends the turn.
func (e *Endpoint) endTurn() {
	defer e.turn.Unlock()
	e.endFrames()
	for e.waiting.Load() > 0 {
		e.choresMu.Lock()
		chores := e.chores
		e.chores = nil
		e.waiting.Store(0)
		e.choresMu.Unlock()
		for _, f := range chores {
			f()
		}
	}
	for range maxJobs {
		select {
		case f := <-e.jobs:
			f()
		default:
			return
		}
	}
}

// maxUnended is how many frames may be taken before the handler's EndFrame, while more are waiting.
const maxUnended = 32

// endFrames calls the handler's EndFrame behind the frames that waited together: what they cause then leaves together, one
// write for many. It is called in a turn.
func (e *Endpoint) endFrames() {
	if e.unended > 0 && (!e.more || e.unended >= maxUnended) {
		e.unended = 0
		e.handler.EndFrame()
	}
}

// runTicker is the endpoint's second goroutine; Run waits for it.
func (e *Endpoint) runTicker(ctx context.Context) {
	running := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.alarm:
		case <-e.tick.marks.C:
			e.turn.Lock()
			e.giveMarks()
			e.endTurn()
		case <-e.tick.scan.C:
			running = false
			e.tick.armed.Store(false) // before looking, lest a link that becomes busy meanwhile be missed
			now := time.Now()
			if busy := e.look(now); e.repeatRefusals(now) || busy {
				e.tick.armed.Store(true)
			}
		}
		e.turn.Lock()
		e.endTurn()
		if e.tick.reconnected.Swap(false) {
			e.again()
		}
		if e.tick.armed.Load() && !running {
			running = true
			e.tick.scan.Reset(e.tick.timing.scan)
		}
	}
}

// giveMarks sends the marks that found no frame to ride on.
func (e *Endpoint) giveMarks() {
	e.more = false // whatever was said to wait: what has been taken ends now
	for i, p := range e.due {
		p.listed = false
		e.sendMark(p)
		e.due[i] = nil
	}
	e.due = e.due[:0]
}

// look lets every link judge the silence of its peer, and reports whether any has something outstanding.
func (e *Endpoint) look(now time.Time) (busy bool) {
	connected := e.bus.Connected()
	for _, p := range e.known() {
		l := e.out(p)
		if l == nil {
			continue
		}
		outstanding, verdict := l.look(now, connected, e.cfg.Healthy(p.address.Instance))
		busy = busy || outstanding
		switch verdict {
		case fine:
		case again:
			l.Flush()
		case stuck:
			l.end(ErrStuck)
		}
	}
	return busy
}

// again sends everything that is not marked after a reconnect, and all marks and refusals: each may have been lost.
func (e *Endpoint) again() {
	peers := e.known()
	for _, p := range peers {
		if l := e.out(p); l != nil {
			l.resend()
		}
	}
	e.turn.Lock()
	defer e.endTurn()
	for _, p := range peers {
		if p.in.ended && !p.dead {
			e.refuse(p, "link has ended")
		}
		p.marks.repeat()
		e.sendMark(p)
	}
}
