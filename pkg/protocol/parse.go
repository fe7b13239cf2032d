package protocol

import (
	"bytes"
	"unicode/utf8"
)

// Parse reads one text packet: the text of one Engine.IO message. The packet is
// complete when its Attachments is zero, else that many binary messages follow,
// which a Decoder puts together with it. An error wraps ErrMalformed.
//
// Parse is stricter than the reference parser where that one accepts what the
// protocol text does not describe. It refuses
//   - empty text, and a packet without the payload its type calls for (`2`, `31`, `4`);
//   - an id on anything but events and acks, and an ack without one;
//   - white space before the payload, which the reference reads as an id;
//   - a count of attachments, or the num of a placeholder, that is not plain digits;
//   - in binary packets, objects with "_placeholder":true and other keys than num;
//   - text that is not UTF-8.
func Parse(text []byte, lim Limits) (Packet, error) {
	lim = lim.WithDefaults()
	if len(text) == 0 {
		return Packet{}, malformed(text, 0, "empty packet")
	}
	p := Packet{Type: Type(text[0] - '0'), Namespace: rootNamespace}
	if p.Type > BinaryAck {
		return Packet{}, malformed(text, 0, "unknown packet type") // PAR-015
	}
	i := 1
	if p.Type.Binary() {
		n, end := attachmentCount(text, i)
		switch {
		case n == 0:
			return Packet{}, malformed(text, i, "illegal attachments: want a count from 1 and a dash") // PAR-016, PAR-018
		case n > lim.MaxAttachments:
			return Packet{}, malformed(text, i, "too many attachments") // PAR-017
		}
		p.Attachments, i = n, end
	}
	if i < len(text) && text[i] == '/' {
		end, next := len(text), len(text)
		if comma := bytes.IndexByte(text[i:], ','); comma >= 0 {
			end, next = i+comma, i+comma+1
		}
		p.Namespace = text[i:end:end]
		if !utf8.Valid(p.Namespace) {
			return Packet{}, malformed(text, i, "namespace is not UTF-8")
		}
		i = next
	}
	if end := digits(text, i); end > i {
		p.ID, i = text[i:end:end], end
	}
	return payload(p, text, i, lim)
}

// attachmentCount reads `<n>-` at text[i:] and returns n and where the rest
// begins. n is zero if there is no such thing, and stops growing when it is above
// every limit.
func attachmentCount(text []byte, i int) (n, next int) {
	end := digits(text, i)
	if end == i || end == len(text) || text[end] != '-' || text[i] == '0' {
		return 0, i
	}
	for _, c := range text[i:end] {
		n = min(n*10+int(c-'0'), maxAnnounced+1)
	}
	return n, end + 1
}

// payload completes p with the JSON at text[i:], checked against its type.
func payload(p Packet, text []byte, i int, lim Limits) (Packet, error) {
	if what := misfit(p, text[i:]); what != "" {
		return Packet{}, malformed(text, i, what)
	}
	if i == len(text) {
		return p, nil
	}
	s := scanner{text: text, maxDepth: lim.MaxDepth, attachments: p.Attachments}
	end := s.value(i, 0)
	if end < 0 {
		return Packet{}, malformed(text, s.faultAt, s.fault)
	}
	if rest := s.space(end); rest < len(text) {
		return Packet{}, malformed(text, rest, "bytes behind the payload")
	}
	p.Data = text[i:end:end]
	if p.Type.event() {
		p.Event = text[s.firstStart:s.firstEnd:s.firstEnd]
		if what := badName(p.Event); what != "" {
			return Packet{}, malformed(text, s.firstStart, what)
		}
	}
	return p, nil
}

// misfit tells from its first byte why data cannot be the payload of p, or "".
func misfit(p Packet, data []byte) string {
	var first byte
	if len(data) > 0 {
		first = data[0]
	}
	switch {
	case p.ID != nil && !p.Type.event() && !p.Type.ack():
		return "acknowledgement id on a packet that cannot have one"
	case p.ID == nil && p.Type.ack():
		return "ack without a decimal id"
	}
	switch p.Type {
	case Connect:
		if len(data) > 0 && first != '{' {
			return "payload of a connect is not an object" // PAR-012
		}
	case Disconnect:
		if len(data) > 0 {
			return "disconnect with a payload" // PAR-013
		}
	case ConnectError:
		if first != '{' && first != '"' {
			return "payload of a connect error is neither a string nor an object"
		}
	case Event, Ack, BinaryEvent, BinaryAck:
		if first != '[' {
			return "payload is not an array" // PAR-014, PAR-025
		}
	}
	return ""
}

// digits returns where the run of decimal digits at text[i:] ends.
func digits(text []byte, i int) int {
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return i
}
