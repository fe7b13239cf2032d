package edge

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// What a client may send is limited for each socket in events and in bytes per second. What exceeds a limit is not lost, and
// closes nothing: the edge reads the client no further until the bucket has refilled, so that TCP slows it down, as when the
// app is behind. All sockets of a connection wait then, since there is one stream for all. A CONNECT, which costs others the
// most, counts as an event of its connection, and who leaves a namespace to join it again finds his buckets as he left them.

// buckets are the limits of one socket; one that is nil does not limit.
type buckets struct{ events, bytes *rate.Limiter }

// CONNECTs have a limit of their own besides, which is there by default: no rate has to be set for that a client that is refused
// cannot ask auth all day. It is far from what stock clients do.

// limited names the limit that stops a client, in the order of Metrics.Throttled.
type limited int

const (
	byEvents limited = iota
	byBytes
	byConnects
)

// buckets returns full buckets for a socket, by the edge's configuration and what a verdict says otherwise; nil if nothing is
// limited.
func (c *Config) buckets(verdict *authn.Limits) *buckets {
	if verdict == nil {
		verdict = &authn.Limits{}
	}
	b := &buckets{
		events: bucket(c.EventsPerSecond, float64(c.EventBurst), verdict.EventsPerSecond, verdict.EventBurst, 1),
		bytes:  bucket(c.BytesPerSecond, float64(c.ByteBurst), verdict.BytesPerSecond, verdict.ByteBurst, minByteBurst),
	}
	if b.events == nil && b.bytes == nil {
		return nil
	}
	return b
}

// minByteBurst is the smallest bucket of bytes: packets that are larger empty it several times over, each time at a cost.
const minByteBurst = 1024

// bucket returns a full bucket, nil for no limit. A rate of its own comes with a burst of its own: one second's worth unless
// it is given.
func bucket(perSecond, burst float64, ownPerSecond, ownBurst *float64, least float64) *rate.Limiter {
	if ownPerSecond != nil {
		perSecond, burst = *ownPerSecond, 0
	}
	if ownBurst != nil {
		burst = *ownBurst
	}
	if perSecond == 0 {
		return nil
	}
	if burst == 0 {
		burst = math.Ceil(perSecond)
	}
	return rate.NewLimiter(rate.Limit(perSecond), int(max(burst, least)))
}

// take takes what a packet costs, and returns how long the client is not to be read for it, and for which limit.
func (b *buckets) take(now time.Time, events int, bytes int64) (wait time.Duration, by limited) {
	if b.events != nil {
		wait = takeFrom(b.events, now, int64(events))
	}
	if b.bytes != nil {
		if longer := takeFrom(b.bytes, now, bytes); longer > wait {
			return longer, byBytes
		}
	}
	return wait, byEvents
}

// takeFrom takes n tokens, more than are there if need be, and returns the time until none is owed.
func takeFrom(l *rate.Limiter, now time.Time, n int64) time.Duration {
	for burst := int64(l.Burst()); n > burst; n -= burst {
		l.ReserveN(now, int(burst))
	}
	return l.ReserveN(now, int(n)).DelayFrom(now)
}

// inherit takes what the buckets of an earlier socket lack, but makes no debts: for those the client is not read already.
func (b *buckets) inherit(from *buckets, now time.Time) {
	for _, l := range [...]struct{ to, from *rate.Limiter }{{b.events, from.events}, {b.bytes, from.bytes}} {
		if l.to != nil && l.from != nil {
			takeFrom(l.to, now, min(int64(math.Ceil(lacking(l.from, now))), int64(l.to.Burst())))
		}
	}
}

// lacking returns how many tokens a bucket has below its burst.
func lacking(l *rate.Limiter, now time.Time) float64 {
	if l == nil {
		return 0
	}
	return max(0, float64(l.Burst())-l.TokensAt(now))
}

// remember keeps the buckets of a socket that ends for the next one in its namespace, unless they are full; mu is held.
func (c *conn) remember(sk *socket) {
	now := time.Now()
	if b := sk.buckets; c.closed || b == nil || lacking(b.events, now) == 0 && lacking(b.bytes, now) == 0 {
		return
	}
	if c.spent == nil {
		c.spent = map[string]*buckets{}
	}
	for name := range c.spent {
		if len(c.spent) < c.s.cfg.MaxNamespaces {
			break
		}
		delete(c.spent, name)
	}
	c.spent[string(sk.namespace)] = sk.buckets
}

// chargeConnect makes the connection pay for a CONNECT; mu is held.
func (c *conn) chargeConnect(bytes int64) {
	if c.connects == nil {
		c.connects = c.s.cfg.buckets(nil)
	}
	c.charge(c.connects, 1, bytes)
	if c.s.cfg.ConnectsPerSecond > 0 && !c.closed {
		now := time.Now()
		c.stopFor(now, c.knocks.take(now, c.s.cfg.ConnectsPerSecond, c.s.cfg.ConnectBurst), byConnects)
	}
}

// knocks is a bucket that takes little room: the time at which it will be full.
type knocks struct{ full time.Time }

// take takes one token, which may be owed, and returns the time until none is.
func (k *knocks) take(now time.Time, perSecond float64, burst int) time.Duration {
	each := time.Duration(float64(time.Second) / perSecond)
	if k.full.Before(now) {
		k.full = now
	}
	k.full = k.full.Add(each)
	return k.full.Sub(now) - time.Duration(burst)*each
}

// charge takes what a packet costs from buckets, and stops reading the client if they lack something then; mu is held.
func (c *conn) charge(b *buckets, events int, bytes int64) {
	if b == nil || c.closed {
		return
	}
	now := time.Now()
	wait, by := b.take(now, events, bytes)
	c.stopFor(now, wait, by)
}

// stopFor stops reading the client for a while, if that is more than no time; mu is held.
func (c *conn) stopFor(now time.Time, wait time.Duration, by limited) {
	if wait <= 0 {
		return
	}
	if c.throttle == nil {
		c.throttle = &throttle{alarm: alarm{ring: c.unthrottle}}
	}
	t := c.throttle
	if until := now.Add(wait); until.After(t.until) {
		t.until = until
		c.s.alarms.set(&t.alarm, until)
	}
	if !t.on {
		t.on = true
		c.s.cfg.Metrics.throttled(by)
		c.stopReading()
	}
}

// throttle is the pause of a connection that has exceeded a limit. Guarded by conn.mu.
type throttle struct {
	alarm alarm
	until time.Time
	on    bool
}

// unthrottle reads the client again.
func (c *conn) unthrottle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.throttle; t.on && !time.Now().Before(t.until) { // else it was prolonged in this moment, and will ring again
		t.on = false
		c.continueReading()
	}
}

// dropThrottle takes the alarm of a connection that has ended back; mu is held.
func (c *conn) dropThrottle() {
	if c.throttle != nil {
		c.s.alarms.drop(&c.throttle.alarm)
	}
}

// stopReading and continueReading come in pairs; the client is read while none is open. mu is held.
func (c *conn) stopReading() {
	if c.blocked++; c.blocked == 1 {
		c.s.cfg.Metrics.paused()
		c.session.Pause()
	}
}

func (c *conn) continueReading() {
	if c.blocked--; c.blocked == 0 {
		c.session.Resume()
	}
}
