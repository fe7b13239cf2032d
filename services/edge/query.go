package edge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// maxPage is how many bytes of sockets make a page; it may end behind them. A bus takes more.
const maxPage = 128 << 10

// answerQueries answers EdgeRequests until ctx ends. Nothing of it happens on the ring's goroutine.
func (s *Service) answerQueries(ctx context.Context) error {
	requests := s.bus.NewReceiver(bus.Control, 1024)
	if err := requests.Subscribe(s.names.RPC(s.self), "", s.request); err != nil {
		return fmt.Errorf("subscribe to requests: %w", err)
	}
	return requests.Run(ctx)
}

func (s *Service) request(m bus.Msg) {
	var q siomeshv1.EdgeRequest
	reply := &siomeshv1.EdgeReply{}
	switch err := proto.Unmarshal(m.Data, &q); {
	case err != nil:
		reply.Error = &siomeshv1.Error{Code: "bad_request", Message: "unreadable request"}
	case q.GetSockets() != nil:
		s.page(reply, []byte(q.GetNamespace()), q.GetSockets())
	default:
		reply.Error = &siomeshv1.Error{Code: "bad_request", Message: "unknown query"}
	}
	data, err := proto.Marshal(reply)
	if err == nil && len(data) > s.bus.MaxPayload() {
		data, err = proto.Marshal(&siomeshv1.EdgeReply{Error: &siomeshv1.Error{Code: "too_large", Message: "a socket does not fit an answer"}})
	}
	if err == nil {
		err = s.bus.Respond(m, data)
	}
	if err != nil {
		s.log.Debug("query not answered", slog.Any("err", err))
	}
}

// page fills in one page of sockets, in the order of their slots.
func (s *Service) page(reply *siomeshv1.EdgeReply, namespace []byte, q *siomeshv1.SocketsQuery) {
	rooms, except := stringsOf(q.GetRooms()), stringsOf(q.GetExcept())
	size := 0
	s.selected(namespace, rooms, except, q.GetAfter(), func(slot uint64, sk *socket) bool {
		if size >= maxPage {
			reply.Next = slot
			return false
		}
		if info := s.describeSocket(sk, q); info != nil {
			size += proto.Size(info)
			reply.Sockets = append(reply.Sockets, info)
		}
		return true
	})
}

// selected calls f with the sockets of a selection from a slot on, in the order of their slots, until it returns false.
func (s *Service) selected(namespace []byte, rooms, except []string, from uint64, f func(slot uint64, sk *socket) bool) {
	if len(rooms) == 0 {
		for slot, sk := range s.table.from(from) {
			if s.index.isIn(sk, namespace, except) && !f(slot, sk) {
				return
			}
		}
		return
	}
	in, err := wire.ReadStrings(wire.AppendStrings(nil, rooms))
	if err != nil {
		return // cannot be: just encoded
	}
	out, err := wire.ReadStrings(wire.AppendStrings(nil, except))
	if err != nil {
		return // as above
	}
	type place struct {
		slot   uint64
		socket *socket
	}
	var places []place
	for _, sk := range s.index.selection(nil, namespace, in, out) {
		if slot, ok := s.table.slotOf(sk); ok && slot >= from {
			places = append(places, place{slot, sk})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.slot, b.slot) })
	for _, p := range places {
		if !f(p.slot, p.socket) {
			return
		}
	}
}

// describeSocket returns what is wanted of a socket, nil if it is gone.
func (s *Service) describeSocket(sk *socket, q *siomeshv1.SocketsQuery) *siomeshv1.SocketInfo {
	c := sk.conn
	info := &siomeshv1.SocketInfo{Id: sk.id}
	if q.GetJoined() {
		for _, room := range s.index.roomsOf(sk) {
			info.Rooms = append(info.Rooms, []byte(room))
		}
	}
	c.mu.Lock()
	if sk.state != joined {
		c.mu.Unlock()
		return nil
	}
	if sk.verdict != nil {
		info.User = sk.verdict.User
	}
	if q.GetData() {
		info.Data = object(sk.data)
	}
	c.mu.Unlock()
	if q.GetHandshake() || q.GetConnection() {
		h := &siomeshv1.Handshake{}
		if err := proto.Unmarshal(c.handshake, h); err != nil {
			s.log.Error("handshake unreadable", slog.Any("err", err))
		}
		h.Auth = sk.auth
		if q.GetConnection() {
			info.Connection = &siomeshv1.ConnectionInfo{
				Transport: c.session.Transport(), Upgraded: c.session.Upgraded(),
				Protocol: uint32(c.session.Protocol()), Address: h.GetAddress(), //nolint:gosec // 3 or 4
			}
		}
		if q.GetHandshake() {
			info.Handshake = h
		}
	}
	return info
}

// object returns raw values as one JSON object, each as it is, since what is escaped can become six times as large; nil if an app
// has set what is no JSON.
func object(values map[string][]byte) []byte {
	raw := make(map[string]json.RawMessage, len(values))
	for key, value := range values {
		raw[key] = value
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(raw) != nil {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}

func stringsOf(list [][]byte) []string {
	texts := make([]string, len(list))
	for i, b := range list {
		texts[i] = string(b)
	}
	return texts
}
