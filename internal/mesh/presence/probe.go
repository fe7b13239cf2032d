package presence

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// probe is one that ended.
type probe struct {
	sent       time.Duration // on the roster's clock
	connection int           // p.reconnects when it was sent
	err        error
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
