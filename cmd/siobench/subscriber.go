package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
)

// joinID is the acknowledgement id of the one event a subscriber sends.
const joinID = 0

// subscriber is one connection that joined one room.
type subscriber struct {
	run    *broadcastRun
	room   int
	pub    *publisher
	link   link
	joined atomic.Bool

	mu  sync.Mutex
	seq seqTracker
}

func (s *subscriber) join() error {
	pkt := appendEvent(nil, sioEvent, s.run.prefix, joinID, "join")
	pkt = append(pkt, `,["`+s.run.roomNames[s.room]+`"]]`...)
	s.link.queue(pkt)
	return s.link.flush()
}

func (s *subscriber) onPacket(b []byte, at int64) error {
	pkt, err := parsePacket(b, s.run.prefix)
	if err != nil {
		return err
	}
	switch {
	case pkt.kind == sioEvent && pkt.id < 0:
		payload, err := msgPayload(pkt.body)
		if err != nil {
			return err
		}
		return s.deliver(payload, at)
	case pkt.kind == sioAck && pkt.id == joinID && !s.joined.Swap(true):
		return nil
	}
	return fmt.Errorf("subscriber: unexpected packet %.100q", b)
}

// msgPayload returns the payload of ["msg",payload].
func msgPayload(body []byte) ([]byte, error) {
	const head, tail = `["msg","`, `"]`
	if n := len(body) - len(tail); n >= len(head) && string(body[:len(head)]) == head && string(body[n:]) == tail {
		return body[len(head):n], nil
	}
	var args []string // the server formats its JSON in another way
	if err := json.Unmarshal(body, &args); err != nil || len(args) != 2 || args[0] != "msg" {
		return nil, fmt.Errorf("subscriber: unexpected event %.100q", body)
	}
	return []byte(args[1]), nil
}

func (s *subscriber) deliver(payload []byte, at int64) error {
	if len(payload) != s.run.cfg.payload {
		return fmt.Errorf("subscriber: payload of %d bytes", len(payload))
	}
	room, ok1 := parseHex(payload[:roomDigits])
	seq, ok2 := parseHex(payload[roomDigits:][:seqDigits])
	sent, ok3 := parseHex(payload[roomDigits+seqDigits:][:timeDigits])
	if !ok1 || !ok2 || !ok3 || !bytes.Equal(payload[bcastHeader:], s.run.padding) {
		return fmt.Errorf("subscriber: damaged payload %.100q", payload)
	}
	if room != uint64(s.room) {
		return fmt.Errorf("subscriber of room %d: message of room %d", s.room, room)
	}
	s.mu.Lock()
	fresh := s.seq.see(seq)
	s.mu.Unlock()
	if !fresh {
		return nil
	}
	if s.run.win.measuring.Load() {
		s.run.delivery.record(at - int64(sent))
	}
	if n := s.pub.fresh.Add(1); n%uint64(s.run.cfg.members) == 0 {
		s.pub.notify()
	}
	return nil
}
