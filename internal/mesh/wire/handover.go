package wire

import "bytes"

// A hand-over takes a socket from one instance of an app to another.
//
//	attach:   rooms strings | siomesh.v1.Connect with the data of now
//	detached: strings, pairs of acknowledgement id and Packet: the events after Handled, in order

// AppendAttach appends the rooms of a socket, without its own; behind them goes the Connect.
func AppendAttach(dst []byte, rooms []string) []byte { return AppendStrings(dst, rooms) }

// ReadAttach reads what ATTACH says; the Connect is a view of body.
func ReadAttach(body []byte) (rooms []string, connect []byte, err error) {
	list, connect, err := stringsView(body)
	if err != nil {
		return nil, nil, err
	}
	return list.strings(), connect, nil
}

// Event is an event that was not handled: its acknowledgement id and its Packet, encoded.
type Event struct{ ID, Packet []byte }

// AppendDetached appends the events of DETACHED.
func AppendDetached(dst []byte, events []Event) []byte {
	pairs := make([]string, 0, 2*len(events))
	for _, e := range events {
		pairs = append(pairs, string(e.ID), string(e.Packet))
	}
	return AppendStrings(dst, pairs)
}

// ParseDetached reads the events of DETACHED, as views of body. Ids are digits, packets can be read.
func ParseDetached(body []byte) ([]Event, error) {
	list, err := ReadStrings(body)
	if err != nil || list.Len()%2 != 0 {
		return nil, malformed("events of a detached socket")
	}
	events := make([]Event, 0, list.Len()/2)
	for id, ok := list.Next(); ok; id, ok = list.Next() {
		packet, _ := list.Next()
		if _, err := ParsePacket(packet, nil); err != nil || bytes.ContainsFunc(id, isNoDigit) {
			return nil, malformed("event of a detached socket")
		}
		events = append(events, Event{ID: id, Packet: packet})
	}
	return events, nil
}

func isNoDigit(r rune) bool { return r < '0' || r > '9' }
