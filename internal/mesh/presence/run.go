package presence

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Run takes part in presence until ctx ends: it publishes heartbeats, asks who is there, judges, calls the watchers, and
// says goodbye at the end. It returns nil then, or the error that kept it from receiving. Call it once.
func (p *Peers) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	receiver := p.bus.NewReceiver(bus.Control, receiverLen)
	stop := p.bus.Watch(func(bool) { p.connectionChanged() })
	defer stop()
	p.connectionChanged()
	d := &driver{p: p, g: g, probed: make(chan probe, 1)}
	g.Go(func() error { return receiver.Run(ctx) })
	g.Go(func() error {
		if err := p.subscribe(ctx, receiver); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it is over before it has begun, and the receiver has closed
			}
			return err
		}
		return d.run(ctx)
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("run presence: %w", err)
	}
	return nil
}

func (p *Peers) subscribe(ctx context.Context, receiver bus.Receiver) error {
	hear := func(m bus.Msg) {
		h, err := decodeHeartbeat(p.subjects, m)
		if err != nil {
			p.cfg.Metrics.countMalformed()
			p.log.Debug("heartbeat ignored", slog.Any("err", err))
			return
		}
		if h.from.Instance == p.self.Instance {
			return
		}
		select {
		case p.inbox <- h:
		case <-ctx.Done():
		}
	}
	if err := receiver.Subscribe(p.subjects.PresenceAll(), "", hear); err != nil {
		return fmt.Errorf("subscribe to presence: %w", err)
	}
	if err := receiver.Subscribe(p.subjects.Who(), "", func(bus.Msg) { token(p.asked) }); err != nil {
		return fmt.Errorf("subscribe to who: %w", err)
	}
	return nil
}

// connectionChanged is called by the bus, and once at the start of Run. It asks for the state again, so that whoever comes
// last knows best.
func (p *Peers) connectionChanged() {
	p.mu.Lock()
	p.roster.connection(time.Now(), p.bus.Connected())
	p.reconnects++
	p.mu.Unlock()
	token(p.wake)
}

// driver is the state of Run's goroutine.
type driver struct {
	p *Peers
	g *errgroup.Group

	sequence  uint64
	lastBeat  time.Time
	lastWho   time.Time // this instance's question or anybody's
	wantBeat  bool
	wantWho   bool
	failing   bool // the last publish failed for another reason than the connection
	settled   bool
	seen      int // p.reconnects that were reacted to
	connected bool

	lastProbe   time.Time
	cancelProbe context.CancelFunc // nil when none is in flight
	probed      chan probe
}

func (d *driver) run(ctx context.Context) error {
	wait := d.step(ctx)
	due := time.Now().Add(wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			d.goodbye(ctx)
			return nil
		case h := <-d.p.inbox:
			d.hear(h)
		case <-d.p.asked:
			d.wantBeat, d.lastWho = true, time.Now()
		case r := <-d.probed:
			d.probeEnded(r)
		case <-d.p.wake:
		case <-timer.C:
		}
		d.p.mu.Lock()
		d.p.roster.woke(time.Now(), time.Since(due))
		d.p.mu.Unlock()
		for range len(d.p.inbox) { // before any verdict
			d.hear(<-d.p.inbox)
		}
		wait = d.step(ctx)
		due = time.Now().Add(wait)
		timer.Reset(wait)
	}
}

// hear applies one heartbeat.
func (d *driver) hear(h *heartbeat) {
	d.p.mu.Lock()
	news := d.p.roster.heartbeat(time.Now(), h)
	d.p.mu.Unlock()
	d.tell(news)
}

// step does all that is due and returns how long nothing else will be.
func (d *driver) step(ctx context.Context) time.Duration {
	p, now := d.p, time.Now()
	p.mu.Lock()
	var news []happening
	for id := range p.suspects {
		delete(p.suspects, id)
		news = append(news, p.roster.suspect(now, id)...)
	}
	d.wantWho = d.wantWho || len(news) > 0 // a suspect that lives shall say so at once
	d.wantBeat = d.wantBeat || p.announce
	p.announce = false
	d.connection()
	verdicts, todo := p.roster.judge(now)
	p.mu.Unlock()

	d.tell(append(news, verdicts...))
	if todo.settled && !d.settled {
		d.settled = true
		close(p.heard)
	}
	if !d.connected {
		return todo.next
	}
	return min(todo.next, d.beat(now), d.who(now), d.probe(ctx, now, todo.probe))
}

// connection reacts to a new state of the connection. The caller holds p.mu.
func (d *driver) connection() {
	if d.seen == d.p.reconnects {
		return
	}
	d.seen = d.p.reconnects
	d.connected = d.p.roster.clock.running
	if d.cancelProbe != nil {
		d.cancelProbe()
	}
	if d.connected { // everything at once
		d.wantBeat, d.wantWho = true, true
		d.lastBeat, d.lastWho, d.lastProbe = time.Time{}, time.Time{}, time.Time{}
	}
}

// tell calls the watchers.
func (d *driver) tell(news []happening) {
	for _, n := range news {
		who := []any{slog.String("kind", string(n.peer.Kind)), slog.String("app", n.peer.App), slog.String("peer", n.peer.Instance.String())}
		switch n.change {
		case Up:
			d.p.log.Info("peer is up", who...)
		case Suspected:
			d.p.log.Info("peer is suspect", who...)
		case Recovered:
			d.p.log.Info("peer is no longer suspect", who...)
		case Died:
			d.p.cfg.Metrics.countDeath(n.cause)
			d.p.log.Info("peer is dead", append(who, slog.String("cause", string(n.cause)))...)
		case Updated:
		}
		for _, f := range d.p.watchers {
			f(n.change, n.peer)
		}
	}
}
