package engine

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A handshake that is in order is admitted before anybody is asked about it, for that is what
// costs: AllowRequest, GenerateID and Accept may ask other machines.
//
//	verify ──► closing? ──► admission: address, server, rate ──► AllowRequest ──► GenerateID ──► Accept
//	               503                  429      503    503
//
// Who is admitted has a seat until its session has ended, or until it is refused further on.
// Requests with a sid are not asked: they belong to a session that has its seat.

// limit is one that refuses handshakes; in the order of admission's checks.
type limit uint8

const (
	limitPerIP limit = iota
	limitTotal
	limitRate
	limits
)

// String returns the name of the limit in OnConnectionError's context and in Snapshot.
func (l limit) String() string {
	return [...]string{limitPerIP: "MAX_CONNECTIONS_PER_IP", limitTotal: "MAX_CONNECTIONS", limitRate: "ACCEPT_RATE"}[l]
}

// seatWait is what a client is told to wait when there is no seat: nobody knows when one gets free.
const seatWait = 5 * time.Second

// admission counts the sessions of a server and those about to open, and bounds them.
type admission struct {
	total, perIP int           // 0 = none
	rate         *rate.Limiter // nil = none
	metrics      *Metrics

	mu   sync.Mutex     // after it no other lock is taken but the limiter's own
	open int            // guarded by mu
	from map[string]int // by group, without zeros; guarded by mu
}

func newAdmission(c *Config) *admission {
	a := &admission{total: c.MaxConnections, perIP: c.MaxConnectionsPerIP, metrics: c.Metrics, from: make(map[string]int)}
	if c.AcceptRate > 0 {
		a.rate = rate.NewLimiter(rate.Limit(c.AcceptRate), c.AcceptBurst)
	}
	return a
}

// seat is that of one session; nil is none, where none are counted.
type seat struct {
	of    *admission
	group string
	left  bool // guarded by of.mu
}

// enter takes a seat for a client, or returns why there is none.
func (a *admission) enter(remote string) (*seat, *Refusal) {
	group := a.groupOf(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.perIP > 0 && a.from[group] >= a.perIP {
		return nil, a.refuse(limitPerIP, seatWait)
	}
	if a.total > 0 && a.open >= a.total {
		return nil, a.refuse(limitTotal, seatWait)
	}
	if wait := a.waitLocked(); wait > 0 {
		return nil, a.refuse(limitRate, wait)
	}
	return a.takeLocked(group), nil
}

// add takes a seat for a session that has been admitted elsewhere, be there one or not.
func (a *admission) add(remote string) *seat {
	group := a.groupOf(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.takeLocked(group)
}

// leave gives the seat back. It may be called more than once.
func (p *seat) leave() {
	if p == nil {
		return
	}
	a := p.of
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	a.open--
	if a.perIP == 0 {
		return
	}
	if a.from[p.group]--; a.from[p.group] == 0 {
		delete(a.from, p.group)
	}
}

func (a *admission) takeLocked(group string) *seat {
	if a.total == 0 && a.perIP == 0 {
		return nil
	}
	a.open++
	if a.perIP > 0 {
		a.from[group]++
	}
	return &seat{of: a, group: group}
}

// waitLocked takes a token, or returns how long it takes until there is one.
func (a *admission) waitLocked() time.Duration {
	if a.rate == nil {
		return 0
	}
	now := time.Now()
	token := a.rate.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if wait > 0 {
		token.CancelAt(now)
	}
	return wait
}

func (a *admission) refuse(l limit, retryAfter time.Duration) *Refusal {
	a.metrics.notAdmitted(l)
	e := badRequest(l.String())
	e.Status, e.RetryAfter = http.StatusServiceUnavailable, retryAfter
	switch l {
	case limitPerIP:
		e.Status, e.Message = http.StatusTooManyRequests, "Too many connections from this address"
	case limitTotal:
		e.Message = "Too many connections"
	default:
		e.Message = "Connecting too fast"
	}
	return e
}

// groupOf returns who shares the limit of an address.
func (a *admission) groupOf(remote string) string {
	if a.perIP == 0 {
		return ""
	}
	return addressGroup(remote)
}

// addressGroup returns what counts as one client address: an IPv4 address, the /64 of an IPv6
// address, of which a host has all, or what is no address as it is. The port does not count.
func addressGroup(remote string) string {
	host := remote
	if h, _, err := net.SplitHostPort(remote); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	addr = addr.WithZone("").Unmap()
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// defaultAcceptBurst is one second's worth.
func defaultAcceptBurst(perSecond float64) int {
	return int(min(max(math.Ceil(perSecond), 1), math.MaxInt32))
}

// validateAdmission reports which limit on sessions is none.
func (c *Config) validateAdmission() error {
	if c.MaxConnections < 0 || c.MaxConnectionsPerIP < 0 {
		return errors.New("engine: negative number of connections")
	}
	if c.AcceptBurst < 0 || !(c.AcceptRate >= 0) || math.IsInf(c.AcceptRate, 0) { // NaN too
		return fmt.Errorf("engine: accept rate %v with a burst of %d", c.AcceptRate, c.AcceptBurst)
	}
	return nil
}
