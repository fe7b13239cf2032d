package edge

// acks maps the acknowledgement ids that this edge put into packets for one client to the requests of the socket's app
// instance, which are not 0. The zero value is ready.
type acks struct {
	next   uint64
	oldest uint64 // no open id is lower
	open   map[uint64]uint64
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

// drain ends all requests.
func (a *acks) drain(f func(request uint64)) {
	for _, request := range a.open {
		f(request)
	}
	a.open, a.oldest = nil, a.next
}
