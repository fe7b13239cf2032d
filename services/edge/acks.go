package edge

// acks maps the acknowledgement ids that this edge put into packets for one client to the requests of the socket's app
// instance, which are not 0. The zero value is ready.
type acks struct {
	next   uint64
	oldest uint64 // no open id is lower
	open   map[uint64]uint64
	asks   map[uint64]struct{} // ids of broadcasts that wait for this client; apart from the others
	former []former            // requests of earlier owners: see handover.go
}

// add returns the id for a request. At limit the oldest open request gives way, and is returned to be failed; otherwise 0 is.
func (a *acks) add(request uint64, limit int) (id, failed uint64) {
	if a.open == nil {
		a.open = map[uint64]uint64{}
	}
	for failed == 0 && len(a.open) >= limit {
		failed = a.take(a.oldest)
		a.oldest++
	}
	id = a.next
	a.next++
	a.open[id] = request
	return id, failed
}

// take ends the request of an id and returns it, 0 if there is none.
func (a *acks) take(id uint64) uint64 {
	request := a.open[id]
	delete(a.open, id)
	return request
}

// ask notes that the client owes an answer to a broadcast, unless it owes too many.
func (a *acks) ask(id uint64, limit int) bool {
	if len(a.asks) >= limit {
		return false
	}
	if a.asks == nil {
		a.asks = map[uint64]struct{}{}
	}
	a.asks[id] = struct{}{}
	return true
}

// unask reports whether the client owed that answer; it owes it no more.
func (a *acks) unask(id uint64) bool {
	_, owed := a.asks[id]
	if delete(a.asks, id); len(a.asks) == 0 {
		a.asks = nil
	}
	return owed
}

// waiting reports whether somebody waits for an answer of the client.
func (a *acks) waiting() bool { return len(a.open)+len(a.asks)+len(a.former) > 0 }

// drainAsks ends all answers owed to broadcasts.
func (a *acks) drainAsks(f func(id uint64)) {
	for id := range a.asks {
		f(id)
	}
	a.asks = nil
}

// drain ends all requests.
func (a *acks) drain(f func(request uint64)) {
	for _, request := range a.open {
		f(request)
	}
	a.open, a.oldest = nil, a.next
}
