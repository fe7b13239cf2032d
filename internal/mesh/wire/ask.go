package wire

import (
	"encoding/binary"
	"time"
)

// An ASK is a broadcast whose recipients are to answer within some time.
//
//	ask:   selector | milliseconds uvarint | packet
//	reply: strings, of one socket id | packet

// AppendAsk appends what goes before the packet of an ASK. The time is rounded up, and is at least a millisecond.
func AppendAsk(dst []byte, s Selector, within time.Duration) []byte {
	ms := min(max(1, (within+time.Millisecond-1).Milliseconds()), maxAsk.Milliseconds())
	return binary.AppendUvarint(AppendSelector(dst, s), uint64(ms)) //nolint:gosec // positive
}

// maxAsk bounds the time an ASK may take.
const maxAsk = 24 * time.Hour

// ReadAsk reads an ASK; everything is a view of body.
func ReadAsk(body []byte) (rooms, except StringsView, within time.Duration, packet []byte, err error) {
	rooms, except, rest, err := ReadSelector(body)
	if err != nil {
		return StringsView{}, StringsView{}, 0, nil, err
	}
	ms, packet, ok := uvarint(rest)
	if !ok || ms == 0 || ms > uint64(maxAsk.Milliseconds()) {
		return StringsView{}, StringsView{}, 0, nil, malformed("time of an ask")
	}
	return rooms, except, time.Duration(ms) * time.Millisecond, packet, nil //nolint:gosec // at most maxAsk
}

// AppendReply appends what goes before the packet of a reply.
func AppendReply(dst []byte, id string) []byte { return AppendStrings(dst, []string{id}) }

// ReadReply reads a reply to an ASK; the packet is a view of body.
func ReadReply(body []byte) (id string, packet []byte, err error) {
	list, packet, err := stringsView(body)
	if err != nil {
		return "", nil, err
	}
	one, ok := list.Next()
	if !ok || list.Len() > 0 {
		return "", nil, malformed("socket id of a reply")
	}
	return string(one), packet, nil
}
