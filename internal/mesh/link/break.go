package link

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// stillborn breaks a link before anyone has it: its endpoint has stopped.
func (l *Link) stillborn() {
	l.broken = fmt.Errorf("%w: %w", ErrBroken, ErrStopped)
	l.ended.Store(true)
}

// end breaks the link and tells the peer, unless that is dead.
func (l *Link) end(reason error) {
	l.mu.Lock()
	if l.broken != nil {
		l.mu.Unlock()
		return
	}
	l.fail(reason)
	l.mu.Unlock()
	if !errors.Is(reason, ErrPeerDead) {
		l.endpoint.send(l.peer, wire.Frame{Kind: wire.FrameBreak, Link: l.s.number})
	}
}

// refused takes the peer's word that it takes nothing more of link number.
func (l *Link) refused(number uint32, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number == l.s.number && l.broken == nil {
		l.fail(fmt.Errorf("%w: %q", ErrRefused, reason))
	}
}

// look judges the silence of the peer, and reports whether anything is outstanding.
func (l *Link) look(now time.Time, connected, healthy bool) (bool, verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return false, fine
	}
	v := l.s.look(now, l.endpoint.tick.timing, connected, healthy)
	l.s.idle()
	return l.s.outstanding(), v
}

// resend sends everything that is not marked.
func (l *Link) resend() {
	l.mu.Lock()
	l.s.reconnected()
	l.mu.Unlock()
	l.Flush()
}

// stop breaks every link; the callbacks run before Run returns.
func (e *Endpoint) stop() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.turn.Lock()
	e.giveMarks()
	for _, p := range e.known() {
		if l := e.out(p); l != nil {
			l.end(ErrStopped)
		}
	}
	e.endTurn()
	close(e.done)
}

// broke counts a break by its reason.
func (m *Metrics) broke(reason error) {
	for _, c := range []struct {
		reason  error
		counter interface{ Add(uint64) uint64 }
	}{
		{ErrPeerDead, &m.BreaksDead},
		{ErrStuck, &m.BreaksStuck},
		{ErrRefused, &m.BreaksRefused},
		{ErrOverflow, &m.BreaksOverflow},
	} {
		if errors.Is(reason, c.reason) {
			c.counter.Add(1)
		}
	}
}

// logBreak tells people about a break that is not part of a normal life, and that nobody else tells of: presence has said
// who is dead.
func (e *Endpoint) logBreak(p *peer, err error) {
	if !errors.Is(err, ErrStopped) && !errors.Is(err, ErrPeerDead) {
		e.log.Warn("link broken", slog.String("instance", p.address.Instance.String()), slog.Any("err", err))
	}
}
