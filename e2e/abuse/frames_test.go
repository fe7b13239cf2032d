package abuse_test

import (
	"bytes"
	"compress/flate"
	"strings"
)

// frameAttacks are those on the WebSocket protocol.
func frameAttacks() []attack {
	const first = 0x01 // text, not the last of its fragments
	compressed := bomb(10 * maxMessage)
	return []attack{
		{"garbage after the upgrade", 20, afterUpgrade(noise(4096))},
		{"a frame of 2^63 bytes", 10, afterUpgrade("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x004")},
		{"reserved bits", 10, afterUpgrade(frame(0xb1, "4x"))},
		{"compressed control frame", 10, afterUpgrade(frame(0xc9, "x"))},
		{"compressed without an agreement", 10, afterUpgrade(frame(0xc1, "4x"))},
		{"a reserved opcode", 10, afterUpgrade(frame(0x83, "x"))},
		{"a reserved control opcode", 10, afterUpgrade(frame(0x8b, "x"))},
		{"a control frame in fragments", 10, afterUpgrade(frame(0x09, "x"))},
		{"a control frame of 200 bytes", 10, afterUpgrade(frame(0x89, strings.Repeat("x", 200)))},
		{"a frame without a mask", 10, afterUpgrade("\x81\x024x")},
		{"a continuation of nothing", 10, afterUpgrade(frame(0x80, "x"))},
		{"a message inside a message", 10, afterUpgrade(frame(first, "4x") + text("4y"))},
		{"text that is not UTF-8", 10, afterUpgrade(text("4\xff\xfe"))},
		{"a close frame of one byte", 10, afterUpgrade(frame(0x88, "x"))},
		{"fragments of a byte, without end", 5, afterUpgrade(frame(first, "4") + strings.Repeat(
			strings.Repeat(frame(0x00, "x"), 100)+frame(0x89, "ping"), 100))},
		{"empty fragments, without end", 5, afterUpgrade(frame(first, "4") + strings.Repeat(frame(0x00, ""), 20_000))},
		{"fragments beyond the limit", 5, afterUpgrade(frame(first, "4") + strings.Repeat(
			frame(0x00, strings.Repeat("x", 1<<16)), maxMessage>>16+2))},
		{"a message beyond the limit", 5, afterUpgrade(text("4" + strings.Repeat("x", maxMessage)))},
		{"pings that nobody reads the answers of", 5, afterUpgrade(strings.Repeat(frame(0x89, strings.Repeat("p", 125)), 20_000))},
		{"a bomb", 10, func(f *foe) error {
			c, err := f.websocket("Sec-WebSocket-Extensions: permessage-deflate\r\n")
			if err != nil {
				return err
			}
			c.say(frame(0xc1, compressed))
			return c.closed()
		}},
		{"a half-open session", 20, afterUpgrade("")},
		{"a session that goes without a word", 50, func(f *foe) error {
			c, err := f.websocket("")
			if err != nil {
				return err
			}
			return c.Close()
		}},
	}
}

// afterUpgrade says something on a new WebSocket and waits for the server to end it: at once, or since no namespace is joined.
func afterUpgrade(what string) func(*foe) error {
	return func(f *foe) error {
		c, err := f.websocket("")
		if err != nil {
			return err
		}
		c.say(what)
		return c.closed()
	}
}

// bomb is a message of n bytes as permessage-deflate sends it.
func bomb(n int) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return ""
	}
	_, _ = w.Write([]byte("4"))
	_, _ = w.Write(make([]byte, n))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}
