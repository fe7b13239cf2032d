package socketio

import (
	"slices"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// When the link to rooms breaks, or another rooms instance takes over, operations that are not confirmed are lost, and
// reported as such. For five kinds a report is not enough: without an accept, a refusal or an unknown the edge would leave the client
// waiting for ever, and without a close or a hand-over it would keep a socket that is forgotten here. So these, the verdicts, are kept
// until they are confirmed and sent again, as new operations before all others, on the next link. An edge that has carried
// out one of them ignores the second: the socket has been accepted, or is gone. But if clients may have missed something, hand-overs
// are taken back instead: see keep.

func isVerdict(k wire.Kind) bool {
	return k == wire.KindAccept || k == wire.KindRefuse || k == wire.KindUnknown || k == wire.KindClose || k == wire.KindDetached
}

// owes reports whether something is to be sent before all others. The caller holds mu.
func (p *partition) owes() bool { return p.unsent > 0 || p.owed > 0 }

// repeat sends watches, and again what must be, as far as the link has room; then it returns ErrFull. The caller holds mu.
func (p *partition) repeat(number uint8) error {
	if p.owed > 0 {
		if err := p.rewatch(number); err != nil {
			return err
		}
	}
	for p.unsent > 0 {
		if err := p.put(&p.verdicts[len(p.verdicts)-p.unsent]); err != nil {
			return err
		}
		p.unsent--
	}
	return nil
}

// decided forgets the verdicts up to operation op, which is confirmed. The caller holds mu.
func (p *partition) decided(op uint64) {
	n := 0
	for n < len(p.verdicts)-p.unsent && p.verdicts[n].Op <= op {
		n++
	}
	if n == 0 {
		return
	}
	rest := copy(p.verdicts, p.verdicts[n:])
	clear(p.verdicts[rest:])
	if p.verdicts = p.verdicts[:rest]; rest == 0 {
		p.verdicts = nil
	}
}

// keep takes the hand-overs back that are not confirmed, and returns how many of them were sent: the clients may have missed
// what went before, and must not go on with another instance as if nothing had happened. The caller holds mu.
func (p *partition) keep(a *abandoned) (sent int) {
	for i, r := range p.verdicts {
		if r.Kind != wire.KindDetached {
			continue
		}
		a.stay = append(a.stay, r.Socket)
		if i < len(p.verdicts)-p.unsent {
			sent++
		}
	}
	p.verdicts = slices.DeleteFunc(p.verdicts, func(r wire.Record) bool { return r.Kind == wire.KindDetached })
	return sent
}

// repeat has every partition that has verdicts or watches to send go on with it.
func (o *outbox) repeat() {
	o.owing.Store(false)
	for i := range o.parts {
		p := &o.parts[i]
		p.mu.Lock()
		l := p.link
		if !p.owes() || l == nil {
			p.mu.Unlock()
			continue
		}
		o.owing.Store(true)    // before trying: a mark after that tells of room, and this goes on
		_ = p.repeat(uint8(i)) // an index of parts; if the link is broken it tells that, and they go on the next one
		p.mu.Unlock()
		o.flusher.soon(l)
	}
}
