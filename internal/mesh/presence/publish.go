package presence

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

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
