package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// grammar is the grammar of the protocol as an expression: type, attachments, namespace, id, JSON.
var grammar = regexp.MustCompile(`(?s)^(?:([0-4])|([56])([1-9][0-9]*)-)(?:(/[^,]*)(?:,|$))?([0-9]+)?([^0-9 \t\r\n].*)?$`)

// oracle reads a text packet with the default limits in the slowest and plainest
// way: an expression for the header, encoding/json for the rest. It exists to
// disagree with Parse.
func oracle(text []byte) (protocol.Packet, bool) {
	m := grammar.FindSubmatch(text)
	if m == nil || !utf8.Valid(text) {
		return protocol.Packet{}, false
	}
	p := protocol.Packet{Namespace: []byte("/"), ID: m[5]}
	p.Type = protocol.Type(text[0] - '0')
	if m[3] != nil {
		n, err := strconv.Atoi(string(m[3]))
		if err != nil || n > 10 {
			return protocol.Packet{}, false
		}
		p.Attachments = n
	}
	if m[4] != nil {
		p.Namespace = m[4]
	}
	var value any
	if m[6] != nil {
		dec := json.NewDecoder(bytes.NewReader(m[6]))
		dec.UseNumber() // a number may be too large for a float64
		if !json.Valid(m[6]) || depth(m[6]) > 100 || dec.Decode(&value) != nil {
			return protocol.Packet{}, false
		}
		p.Data = bytes.TrimRight(m[6], " \t\r\n")
	}
	if p.Attachments > 0 && !placed(json.NewDecoder(bytes.NewReader(p.Data)), p.Attachments) {
		return protocol.Packet{}, false
	}
	return p, suits(&p, value)
}

// suits reports whether the payload goes with the type.
func suits(p *protocol.Packet, value any) bool {
	_, isObject := value.(map[string]any)
	_, isString := value.(string)
	list, isList := value.([]any)
	switch p.Type {
	case protocol.Connect:
		return p.ID == nil && (p.Data == nil || isObject)
	case protocol.Disconnect:
		return p.ID == nil && p.Data == nil
	case protocol.ConnectError:
		return p.ID == nil && (isObject || isString)
	case protocol.Ack, protocol.BinaryAck:
		return p.ID != nil && isList
	case protocol.Event, protocol.BinaryEvent:
	}
	var raw []json.RawMessage
	if len(list) == 0 || json.Unmarshal(p.Data, &raw) != nil {
		return false
	}
	p.Event = raw[0]
	switch name := list[0].(type) {
	case json.Number:
		return true
	case string:
		const reserved = " connect connect_error disconnect disconnecting newListener removeListener "
		return strings.Contains(name, " ") || name == "" || !strings.Contains(reserved, " "+name+" ")
	}
	return false
}

// depth is how many arrays and objects of valid JSON are open at once, at most.
func depth(text []byte) int {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	open, most := 0, 0
	for {
		token, err := dec.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			open++
		case json.Delim(']'), json.Delim('}'):
			open--
		}
		most = max(most, open)
	}
}

// placed reads one valid value and reports whether every object in it that is
// marked as a placeholder names one of n attachments.
func placed(dec *json.Decoder, n int) bool {
	dec.UseNumber()
	token, err := dec.Token()
	if err != nil {
		return false
	}
	ok := true
	switch token {
	case json.Delim('['):
		for dec.More() {
			ok = placed(dec, n) && ok
		}
		_, err = dec.Token()
	case json.Delim('{'):
		var raws []json.RawMessage
		object := map[string]json.RawMessage{}
		for dec.More() {
			key, keyErr := dec.Token()
			var raw json.RawMessage
			if keyErr != nil || dec.Decode(&raw) != nil {
				return false
			}
			ok = placed(json.NewDecoder(bytes.NewReader(raw)), n) && ok
			raws = append(raws, raw)
			object[fmt.Sprint(key)] = raw
		}
		if string(object["_placeholder"]) == "true" {
			num, numErr := strconv.ParseUint(string(object["num"]), 10, 31)
			ok = ok && len(raws) == 2 && numErr == nil && int(num) < n
		}
		_, err = dec.Token()
	}
	return ok && err == nil
}

// show prints a packet in a form a person can compare.
func show(p protocol.Packet) string {
	return fmt.Sprintf("{%v nsp %q id %q+%v attachments %d data %q+%v event %q+%v}",
		p.Type, p.Namespace, p.ID, p.ID != nil, p.Attachments, p.Data, p.Data != nil, p.Event, p.Event != nil)
}
