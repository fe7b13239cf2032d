package engine

// Packet is a packet as an Observer sees it.
type Packet struct {
	Type   string // "open", "close", "ping", "pong", "message", "upgrade" or "noop"
	Data   []byte // without the type; to be read only, and valid only during the call
	Binary bool
}

// Observer watches one session, for tracing and for tests. Each function may be nil; what is
// not watched costs nothing. They are called in the order in which things happen, all but
// Close with the session locked: they must be quick, and must not call the session's methods
// (a channel or another goroutine may have that done).
type Observer struct {
	// Packet is told each packet that comes in, before it has any effect (HB-011).
	Packet func(Packet)
	// Heartbeat is told each pong, in protocol 3 each ping, behind Packet.
	Heartbeat func()
	// PacketCreate is told each packet that is accepted to be sent, before it is, pings
	// included (EVT-006).
	PacketCreate func(Packet)
	// Flush is told what is handed to the transport: each packet once, in order (EVT-001, EVT-002).
	Flush func([]Packet)
	// Drain is told when all that was handed to the transport has been taken by the kernel,
	// or by the writer of an HTTP response. It stands for the reference's send callbacks: with
	// Flush it says how far the client has been sent to, and it is not called for what was
	// not sent (EVT-003).
	Drain func()
	// Upgrading is told when another transport has answered as a probe, Upgrade when the
	// session has moved to it (UPG-013).
	Upgrading, Upgrade func(transport string)
	// Close is told the end, right before Handler.Closed, with what was still queued (EVT-004).
	Close func(reason Reason, cause error, unsent []Packet)
}

// Observe makes o watch the session. It is to be called inside Accept, at most once.
func (s *Session) Observe(o *Observer) {
	if o != nil {
		s.observer = &watch{Observer: o}
	}
}

// watch is an observer of one session; a nil one is told nothing. What it has is guarded by
// Session.mu.
type watch struct {
	*Observer
	draining bool       // it waits for the connection to have written what was flushed
	unsent   []*Message // what was queued at the end
}

func (o *watch) received(p packet, heartbeat bool) {
	if o == nil {
		return
	}
	if o.Packet != nil {
		o.Packet(Packet{Type: p.kind.String(), Data: p.data, Binary: p.binary})
	}
	if heartbeat && o.Heartbeat != nil {
		o.Heartbeat()
	}
}

func (o *watch) created(msgs []*Message) {
	if o == nil || o.PacketCreate == nil {
		return
	}
	for _, m := range msgs {
		o.PacketCreate(m.packet())
	}
}

func (o *watch) flushed(msgs []*Message) {
	if o != nil && o.Flush != nil && len(msgs) > 0 {
		o.Flush(packetsOf(msgs))
	}
}

func (o *watch) drained() {
	if o != nil && o.Drain != nil {
		o.Drain()
	}
}

func (o *watch) upgrading(transport string) {
	if o != nil && o.Upgrading != nil {
		o.Upgrading(transport)
	}
}

func (o *watch) upgraded(transport string) {
	if o != nil && o.Upgrade != nil {
		o.Upgrade(transport)
	}
}

func (o *watch) closed(reason Reason, cause error) {
	if o != nil && o.Close != nil {
		o.Close(reason, cause, packetsOf(o.unsent))
	}
}

// packet returns the message as an Observer sees it.
func (m *Message) packet() Packet {
	data := m.payload()
	if !m.bin {
		data = data[1:] // the type
	}
	return Packet{Type: m.kind.String(), Data: data, Binary: m.bin}
}

func packetsOf(msgs []*Message) []Packet {
	packets := make([]Packet, len(msgs))
	for i, m := range msgs {
		packets[i] = m.packet()
	}
	return packets
}

// sentLocked follows a flush to a WebSocket, which may still hold some of it.
func (s *Session) sentLocked() {
	if s.conn.pending() > 0 {
		s.observer.draining = true // until emptied
		return
	}
	s.drainedLocked()
}

// emptied tells that the kernel has taken what it refused before.
func (t wsTransport) emptied() {
	if t.observer == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.observer.draining { // else it was not flushed but sent by the connection, or seen by sentLocked
		t.observer.draining = false
		t.drainedLocked()
	}
}

// drainedLocked tells the observer that what was flushed is out, unless the session has ended.
func (s *Session) drainedLocked() {
	if s.state != stateClosed {
		s.observer.drained()
	}
}
