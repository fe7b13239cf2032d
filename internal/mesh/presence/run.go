package presence

import (
	"context"
	"errors"
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

// probe is one that ended.
type probe struct {
	sent       time.Duration // on the roster's clock
	connection int           // p.reconnects when it was sent
	err        error
}

func (d *driver) run(ctx context.Context) error {
	timer := time.NewTimer(0)
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
		for range len(d.p.inbox) { // before any verdict
			d.hear(<-d.p.inbox)
		}
		timer.Reset(d.step(ctx))
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

// spacing is the least time between two heartbeats, two questions or two probes of one instance, so that many who ask at
// once do not multiply the answers.
func (d *driver) spacing() time.Duration { return d.p.cfg.Interval / 25 }

// beat publishes a heartbeat if one is due and returns the time until the next.
func (d *driver) beat(now time.Time) time.Duration {
	every := d.p.cfg.Interval
	if d.wantBeat {
		every = d.spacing()
	}
	if wait := every - now.Sub(d.lastBeat); wait > 0 {
		return wait
	}
	d.wantBeat, d.lastBeat = false, now
	d.publish(false)
	return d.p.cfg.Interval
}

func (d *driver) publish(goodbye bool) {
	d.sequence++
	subject, data, err := d.p.encode(d.sequence, goodbye)
	if err == nil {
		err = d.p.bus.Publish(subject, data)
	}
	d.published("heartbeat", err)
}

// published logs the first of a row of failures. A lost connection is none: everything is said again after it.
func (d *driver) published(what string, err error) {
	if errors.Is(err, bus.ErrDisconnected) {
		return
	}
	if err != nil && !d.failing {
		d.p.log.Warn("presence cannot be published", slog.String("what", what), slog.Any("err", err))
	}
	d.failing = err != nil
}

// who asks everybody for a heartbeat if that is wanted and nobody did just now, and returns the time until it should.
func (d *driver) who(now time.Time) time.Duration {
	if !d.wantWho {
		return never
	}
	if wait := d.spacing() - now.Sub(d.lastWho); wait > 0 {
		return wait
	}
	d.wantWho, d.lastWho = false, now
	err := d.p.bus.Publish(d.p.subjects.Who(), nil)
	d.published("who", err)
	if err == nil && !d.settled {
		d.p.mu.Lock()
		d.p.roster.askedWho(now)
		d.p.mu.Unlock()
		d.lastProbe = time.Time{} // the answer that counts is to a probe sent after the question
	}
	return never
}

// probe starts a probe if one is due and none is in flight; it returns the time until the next.
func (d *driver) probe(ctx context.Context, now time.Time, wanted bool) time.Duration {
	if d.cancelProbe != nil {
		return never // its end is an event
	}
	every := d.p.cfg.Interval
	if wanted {
		every = d.spacing()
	}
	if wait := every - now.Sub(d.lastProbe); wait > 0 {
		return wait
	}
	d.lastProbe = now
	d.p.mu.Lock()
	r, patience := probe{sent: d.p.roster.clock.at(now), connection: d.seen}, d.p.roster.patience(now)
	d.p.mu.Unlock()
	ctx, d.cancelProbe = context.WithTimeout(ctx, patience)
	d.g.Go(func() error { // Run waits for the group; at most one of these lives, and probed has room for it
		if r.err = d.p.bus.Probe(ctx); errors.Is(r.err, context.DeadlineExceeded) {
			d.p.reconnectIfDeaf(r)
		}
		d.probed <- r
		return nil
	})
	return never
}

// reconnectIfDeaf makes the connection anew if a probe was given up on it. The bus may take seconds for that, so it is not
// done on Run's goroutine.
func (p *Peers) reconnectIfDeaf(r probe) {
	p.mu.Lock()
	deaf := r.connection == p.reconnects && p.roster.deaf(time.Now())
	p.mu.Unlock()
	if !deaf {
		return
	}
	p.log.Warn("own probe not heard, reconnecting", slog.Duration("timeout", p.cfg.ProbeTimeout))
	p.cfg.Metrics.countReconnect()
	p.bus.ForceReconnect()
}

// probeEnded notes the answer, unless the connection is another by now.
func (d *driver) probeEnded(r probe) {
	d.cancelProbe()
	d.cancelProbe = nil
	if r.err != nil {
		d.p.log.Debug("own probe not heard", slog.Any("err", r.err))
		return
	}
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	if r.connection == d.p.reconnects {
		d.p.roster.probed(time.Now(), r.sent)
	}
}

// goodbye tells everybody that this instance is gone, and waits a little until the broker has it.
func (d *driver) goodbye(ctx context.Context) {
	d.publish(true)
	if !d.p.bus.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.p.cfg.Interval)
	defer cancel()
	if err := d.p.bus.Probe(ctx); err != nil {
		d.p.log.Debug("goodbye may be lost", slog.Any("err", err))
	}
}
