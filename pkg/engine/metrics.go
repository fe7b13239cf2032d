package engine

import "sync/atomic"

// Metrics counts what a server does. Its zero value is ready, a nil one counts nothing,
// and one may be shared by several servers. Read it with Snapshot.
type Metrics struct {
	opened     atomic.Uint64
	closed     [8]atomic.Uint64 // by reasonIndex
	packetsIn  [packetTypes]atomic.Uint64
	packetsOut [packetTypes]atomic.Uint64
	refused    [6]atomic.Uint64 // by code
	denied     [limits]atomic.Uint64
	bodies     [badBodies]atomic.Uint64
	upgrades   [upgradeEnds]atomic.Uint64
	bytesIn    atomic.Uint64
	bytesOut   atomic.Uint64
}

// Snapshot is the state of Metrics at one moment. All but SessionsOpen only grow.
// Maps hold every key of their closed set, so that a label never appears late.
type Snapshot struct {
	SessionsOpen   int64
	SessionsOpened uint64
	SessionsClosed map[Reason]uint64 // "other" for reasons of Session.Discard's caller
	PacketsIn      map[string]uint64 // by packet type: "message", "ping", …
	PacketsOut     map[string]uint64
	Refused        map[int]uint64 // by code
	// NotAdmitted counts the handshakes that a limit on sessions has refused, which Refused has
	// too: "MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_IP" and "ACCEPT_RATE".
	NotAdmitted map[string]uint64
	// BodiesRefused counts the POSTs of sessions whose body was "too_large", answered with status
	// 413, or "too_slow", cut with the session.
	BodiesRefused map[string]uint64
	// Upgrades counts those that have ended: "completed" here, "moved" to the server that has the
	// WebSocket, "timed_out" after Config.UpgradeTimeout, "failed" by the client or with the
	// session, and "refused" where there was none to begin.
	Upgrades map[string]uint64
	BytesIn  uint64 // bytes of packets, without frame headers and HTTP
	BytesOut uint64
}

// badBody says what is wrong with the body of a POST.
type badBody uint8

const (
	bodyTooLarge badBody = iota
	bodyTooSlow
	badBodies
)

// String names the counter.
func (b badBody) String() string { return [...]string{"too_large", "too_slow"}[b] }

// upgradeEnd is what becomes of an upgrade.
type upgradeEnd uint8

const (
	upgradeCompleted upgradeEnd = iota
	upgradeMoved
	upgradeTimedOut
	upgradeFailed
	upgradeRefused
	upgradeEnds
)

// String names the counter.
func (e upgradeEnd) String() string {
	return [...]string{"completed", "moved", "timed_out", "failed", "refused"}[e]
}

// reasonOther counts the reasons that are not this package's.
const reasonOther Reason = "other"

func countedReasons() [8]Reason {
	return [...]Reason{TransportClose, TransportError, PingTimeout, ParseError, ForcedClose, SlowClient, Moved, reasonOther}
}

// Snapshot returns the counts now; those of a nil Metrics are zero.
func (m *Metrics) Snapshot() Snapshot {
	if m == nil {
		m = &Metrics{}
	}
	s := Snapshot{
		SessionsOpened: m.opened.Load(),
		SessionsClosed: make(map[Reason]uint64, len(m.closed)),
		PacketsIn:      make(map[string]uint64, packetTypes),
		PacketsOut:     make(map[string]uint64, packetTypes),
		Refused:        make(map[int]uint64, len(m.refused)),
		NotAdmitted:    make(map[string]uint64, len(m.denied)),
		BodiesRefused:  make(map[string]uint64, len(m.bodies)),
		Upgrades:       make(map[string]uint64, len(m.upgrades)),
		BytesIn:        m.bytesIn.Load(),
		BytesOut:       m.bytesOut.Load(),
	}
	s.SessionsOpen = int64(s.SessionsOpened)
	for i, r := range countedReasons() {
		n := m.closed[i].Load()
		s.SessionsClosed[r] = n
		s.SessionsOpen -= int64(n)
	}
	for t := range packetTypes {
		s.PacketsIn[t.String()] = m.packetsIn[t].Load()
		s.PacketsOut[t.String()] = m.packetsOut[t].Load()
	}
	for code := range m.refused {
		s.Refused[code] = m.refused[code].Load()
	}
	for l := range limits {
		s.NotAdmitted[l.String()] = m.denied[l].Load()
	}
	for b := range badBodies {
		s.BodiesRefused[b.String()] = m.bodies[b].Load()
	}
	for e := range upgradeEnds {
		s.Upgrades[e.String()] = m.upgrades[e].Load()
	}
	return s
}

func (m *Metrics) sessionOpened() {
	if m != nil {
		m.opened.Add(1)
	}
}

func (m *Metrics) sessionClosed(r Reason) {
	if m == nil {
		return
	}
	reasons := countedReasons()
	for i, known := range reasons {
		if r == known || i == len(reasons)-1 {
			m.closed[i].Add(1)
			return
		}
	}
}

func (m *Metrics) packetIn(kind packetType, bytes int) {
	if m != nil {
		m.packetsIn[kind].Add(1)
		m.bytesIn.Add(uint64(bytes))
	}
}

func (m *Metrics) packetOut(msg *Message) {
	if m != nil {
		m.packetsOut[msg.kind].Add(1)
		m.bytesOut.Add(uint64(len(msg.frame) - int(msg.head)))
	}
}

func (m *Metrics) refusal(code int) {
	if m != nil {
		m.refused[code].Add(1)
	}
}

func (m *Metrics) notAdmitted(l limit) {
	if m != nil {
		m.denied[l].Add(1)
	}
}

func (m *Metrics) bodyRefused(b badBody) {
	if m != nil {
		m.bodies[b].Add(1)
	}
}

func (m *Metrics) upgradeEnded(e upgradeEnd) {
	if m != nil {
		m.upgrades[e].Add(1)
	}
}
