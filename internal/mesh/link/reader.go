package link

import (
	"log/slog"
	"strings"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// nobody begins the last token of the subject on which the bus says that nobody listens to a frame; the instance follows. No
// role begins like that.
const nobody = "nobody-"

// receive takes one message of the bus, in a turn.
func (e *Endpoint) receive(m bus.Msg) {
	e.turn.Lock()
	defer e.endTurn()
	e.more = m.More
	if len(m.Data) == 0 {
		e.notice(m.Subject)
		return
	}
	f, err := wire.ParseFrame(m.Data)
	if err != nil {
		e.cfg.Metrics.Malformed.Add(1)
		return
	}
	from, ok := senderOf(m.Subject, f.Sender)
	if !ok {
		e.cfg.Metrics.Malformed.Add(1)
		return
	}
	p, out := e.heard(from, f.Kind == wire.FrameData)
	if p == nil {
		return // a mark or break of a link that was forgotten
	}
	if out != nil && f.Mark.Link != 0 && f.Kind != wire.FrameBreak {
		out.mark(f.Mark) // marks first: they may end a wait
	}
	switch f.Kind {
	case wire.FrameData:
		e.data(p, &f, len(m.Data))
	case wire.FrameBreak:
		e.broke(p, out, &f)
	case wire.FrameMark:
	}
}

// senderOf returns who sent a frame: its role is what NATS let it publish to, the instance what it says.
func senderOf(subject string, id mesh.InstanceID) (mesh.Address, bool) {
	kind, app := mesh.FromOf(subject)
	switch kind {
	case mesh.KindEdge, mesh.KindRooms, mesh.KindApp, mesh.KindAuth:
		return mesh.Address{Kind: kind, App: app, Instance: id}, true
	}
	return mesh.Address{}, false
}

// notice takes the news that nobody listens to a frame of ours.
func (e *Endpoint) notice(subject string) {
	_, text, ok := strings.Cut(subject, "."+nobody)
	id, err := mesh.ParseInstanceID(text)
	if !ok || err != nil {
		e.cfg.Metrics.Malformed.Add(1)
		return
	}
	e.cfg.Metrics.NoResponders.Add(1)
	links := e.linksTo(id) // before it is asked: one that is opened later may be to an instance that is back
	if e.cfg.NoResponders(id) {
		for _, l := range links {
			l.end(ErrPeerDead)
		}
	}
}

// heard returns the peer at an address, and the link to it; an unknown one is made if create is set, else nil.
func (e *Endpoint) heard(from mesh.Address, create bool) (*peer, *Link) {
	e.mu.RLock()
	p := e.peers[from]
	if p != nil {
		defer e.mu.RUnlock()
		return p, p.out
	}
	e.mu.RUnlock()
	if !create {
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p = e.peer(from)
	return p, p.out
}

// data takes a data frame of size bytes.
func (e *Endpoint) data(p *peer, f *wire.Frame, size int) {
	e.cfg.Metrics.FramesReceived.Add(1)
	what, skip := p.in.arrive(f)
	switch what {
	case ignore:
	case refuse:
		e.refuse(p, "link has ended")
	case gap:
		e.cfg.Metrics.Gaps.Add(1)
		m := p.in.mark()
		m.Gap = true
		p.marks.set(m)
		e.sendMark(p)
	case repeat:
		p.marks.set(p.in.mark())
		e.markSoon(p)
	case open:
		p.dead = false
		e.handler.Opened(p.address)
		e.deliver(p, f, 0, size)
	case take:
		e.deliver(p, f, skip, size)
	}
}

// deliver gives the records of a frame to the handler, and the mark its chance to ride on what the handler flushes.
func (e *Endpoint) deliver(p *peer, f *wire.Frame, skip, size int) {
	before := p.in.next
	err := e.records(p, f, skip)
	e.record = wire.Record{} // may be views of something large
	if taken := p.in.next - before; taken > 0 {
		e.cfg.Metrics.RecordsReceived.Add(taken)
		p.marks.set(p.in.mark())
		p.unmarked.add(load{size, int(taken)})
		e.unended++
		e.markSoon(p)
	}
	if err != nil {
		e.cfg.Metrics.BreaksRead.Add(1)
		e.log.Warn("incoming link refused", slog.String("instance", p.address.Instance.String()), slog.Any("err", err))
		e.refuseRest(p, err.Error())
	}
}

func (e *Endpoint) records(p *peer, f *wire.Frame, skip int) error {
	r := &e.record
	for {
		more, err := f.Next(r)
		if err != nil || !more {
			return err
		}
		if skip > 0 {
			skip--
			continue
		}
		whole, err := p.in.parts.add(r)
		if err != nil {
			return err
		}
		if whole && r.Kind.Known() {
			if err := e.handler.Record(p.address, r); err != nil {
				return err
			}
		} else if whole {
			e.cfg.Metrics.Skipped.Add(1)
		}
		p.in.took()
	}
}

// broke takes a break: of the peer's own link, or of ours.
func (e *Endpoint) broke(p *peer, out *Link, f *wire.Frame) {
	if f.Link != 0 && f.Link == p.in.number {
		p.in.end()
		p.marks.clear()
	}
	if out != nil && f.Mark.Link != 0 {
		out.refused(f.Mark.Link, string(f.Records))
	}
}

// refuseRest takes nothing more of a peer's link.
func (e *Endpoint) refuseRest(p *peer, reason string) {
	p.in.end()
	p.marks.clear()
	e.refuse(p, reason)
}

// refuse tells a peer that nothing more of its link is taken.
func (e *Endpoint) refuse(p *peer, reason string) {
	reason = reason[:min(len(reason), wire.MaxReason)]
	e.send(p, wire.Frame{Kind: wire.FrameBreak, Mark: wire.Mark{Link: p.in.number}, Records: []byte(reason)})
}

// send sends a frame that is not kept. It may be lost: everything that is sent so is sent again when it is needed.
func (e *Endpoint) send(p *peer, f wire.Frame) bool {
	f.Sender = e.self.Instance
	return e.bus.Send(p.subject, p.notice, f.Append(nil)) == nil
}

// markSoon sees to it that the peer gets its mark: now if it has half the window unmarked, else by the next frame or tick.
func (e *Endpoint) markSoon(p *peer) {
	if p.unmarked.bytes >= e.cfg.WindowBytes/2 || p.unmarked.records >= e.cfg.WindowRecords/2 {
		e.sendMark(p)
		return
	}
	if p.listed {
		return
	}
	p.listed = true
	e.due = append(e.due, p)
	if len(e.due) == 1 {
		e.tick.marks.Reset(e.cfg.MarkEvery)
	}
}

// sendMark sends the peer its mark unless a frame has carried it.
func (e *Endpoint) sendMark(p *peer) {
	p.unmarked = load{}
	m, due := p.marks.take()
	if !due {
		return
	}
	e.cfg.Metrics.MarksSent.Add(1)
	if !e.send(p, wire.Frame{Kind: wire.FrameMark, Mark: m}) {
		p.marks.repeat()
	}
}
