package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// publisher is one connection that publishes to its rooms in turn, so that every
// room has a single publisher and therefore a defined order.
type publisher struct {
	run   *broadcastRun
	index int
	link  link
	wake  chan struct{}
	fresh atomic.Uint64 // deliveries of its messages, without duplicates

	mu      sync.Mutex
	rooms   []int
	sentTo  []uint64 // by position in rooms
	turn    int
	sent    uint64
	acked   uint64
	unacked map[int64]int64 // send time by ack id
	pkt     []byte
	payload []byte
}

func (p *publisher) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// send queues the next broadcast, stamped with the given time.
func (p *publisher) send(at int64) {
	room := p.rooms[p.turn]
	id := int64(p.sent)
	putHex(p.payload[:roomDigits], uint64(room))
	putHex(p.payload[roomDigits:][:seqDigits], p.sentTo[p.turn])
	putHex(p.payload[roomDigits+seqDigits:][:timeDigits], uint64(at))
	p.sentTo[p.turn]++
	p.turn = (p.turn + 1) % len(p.rooms)
	p.sent++
	p.unacked[id] = at

	p.pkt = appendEvent(p.pkt[:0], sioEvent, p.run.prefix, id, "bcast")
	p.pkt = append(p.pkt, ',', '"')
	p.pkt = append(p.pkt, p.run.roomNames[room]...)
	p.pkt = append(p.pkt, '"', ',', '"')
	p.pkt = append(p.pkt, p.payload...)
	p.pkt = append(p.pkt, '"', ']')
	p.link.queue(p.pkt)
}

// mayLaunch tells whether the closed loop has room for one more broadcast.
func (p *publisher) mayLaunch() bool {
	inflight := uint64(p.run.cfg.inflight)
	if p.sent-p.acked >= inflight {
		return false
	}
	members := uint64(p.run.cfg.members)
	return p.run.cfg.loop == "ack" || p.sent < inflight || p.fresh.Load() >= (p.sent-inflight+1)*members
}

// closedLoop keeps cfg.inflight broadcasts unfinished.
func (p *publisher) closedLoop() error {
	for {
		p.mu.Lock()
		for p.mayLaunch() {
			p.send(nanos())
		}
		p.mu.Unlock()
		if err := p.link.flush(); err != nil {
			return err
		}
		select {
		case <-p.wake:
		case <-p.run.stop:
			return nil
		}
	}
}

// openLoop sends at the given interval whatever the server does. A broadcast that
// is late is stamped with the time when it was due, so that delays of this
// program or of the connection count as latency.
func (p *publisher) openLoop(interval time.Duration) error {
	due := nanos() + int64(interval)*int64(p.index)/int64(p.run.cfg.publishers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := nanos()
		p.mu.Lock()
		for ; due <= now; due += int64(interval) {
			p.send(due)
		}
		p.mu.Unlock()
		if err := p.link.flush(); err != nil {
			return err
		}
		timer.Reset(time.Duration(due - nanos()))
		select {
		case <-timer.C:
		case <-p.run.stop:
			return nil
		}
	}
}

func (p *publisher) onPacket(b []byte, at int64) error {
	pkt, err := parsePacket(b, p.run.prefix)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, ok := p.unacked[pkt.id]
	if pkt.kind != sioAck || !ok {
		return fmt.Errorf("publisher: unexpected packet %.100q", b)
	}
	delete(p.unacked, pkt.id)
	p.acked++
	if p.run.win.measuring.Load() {
		p.run.ack.record(at - sent)
	}
	p.notify()
	return nil
}
