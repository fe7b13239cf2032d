package abuse_test

import (
	"fmt"
	"strings"
	"time"
)

// packetAttacks are those on the Socket.IO protocol.
func packetAttacks() []attack {
	var connects strings.Builder
	for i := range 2 * maxNamespaces {
		connects.WriteString(text(fmt.Sprintf("40/n%d,", i)))
	}
	return []attack{
		{"an event before any CONNECT", 20, afterUpgrade(text(`42["echo",1]`))},
		{"two CONNECTs", 10, afterUpgrade(text("40") + text("40"))},
		{"CONNECTs to many namespaces", 10, afterUpgrade(connects.String())},
		{"a namespace of 100 000 bytes", 5, afterUpgrade(text("40/" + strings.Repeat("n", 100_000) + ","))},
		{"a CONNECT of deep JSON", 5, afterUpgrade(text("40" + strings.Repeat(`{"a":`, 50_000)))},
		{"deep JSON", 10, onceJoined(text(`42["echo",` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "]"))},
		{"deep JSON without end", 10, onceJoined(text(`42["echo",` + strings.Repeat(`{"a":[`, 100_000)))},
		{"six million attachments", 10, onceJoined(text(`45999999-["echo",1]`))},
		{"more attachments than a number holds", 10, onceJoined(text(`45` + strings.Repeat("9", 30) + `-["echo",1]`))},
		{"an attachment that nobody announced", 10, onceJoined(frame(0x82, "x"))},
		{"text in place of an attachment", 10, onceJoined(text(`451-["echo",{"_placeholder":true,"num":0}]`) + text(`42["echo",1]`))},
		{"a placeholder of none", 10, onceJoined(text(`451-["echo",{"_placeholder":true,"num":7}]`) + frame(0x82, "x") + text("4"))},
		{"an event that is none", 10, onceJoined(text(`42{"a":1}`))},
		{"an event without a name", 10, onceJoined(text(`42[]`))},
		{"a reserved event", 10, onceJoined(text(`42["disconnect"]`))},
		{"a packet of no type", 10, onceJoined(text("49"))},
		{"the server's packets", 10, onceJoined(text(`44{"message":"x"}`))},
		{"the server's heartbeat", 10, onceJoined(strings.Repeat(text("2"), 100))},
		{"attachments that do not come", 10, andLeave(text(`4510-["echo",{"_placeholder":true,"num":0}]`))},
		{"answers that nobody asked for", 10, andLeave(strings.Repeat(text(`43`+strings.Repeat("9", 40)+`[1]`), 1000))},
		{"ids that no number holds", 5, andLeave(text(`42` + strings.Repeat("9", 5000) + `["echo",1]`))},
		{"a client that asks for much and reads nothing", 3, readingNothing(text(`42["flood"]`))},
	}
}

// onceJoined says something in a namespace and waits for the server to end the connection.
func onceJoined(what string) func(*foe) error {
	return func(f *foe) error {
		c, err := f.joined()
		if err != nil {
			return err
		}
		c.say(what)
		return c.closed()
	}
}

// andLeave says something in a namespace and goes.
func andLeave(what string) func(*foe) error {
	return func(f *foe) error {
		c, err := f.joined()
		if err != nil {
			return err
		}
		c.say(what)
		return c.Close()
	}
}

// readingNothing says something in a namespace and waits for the server to end the connection, which shows when the client
// says more.
func readingNothing(what string) func(*foe) error {
	return func(f *foe) error {
		c, err := f.joined()
		if err != nil {
			return err
		}
		c.say(what)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(allowed); time.Now().Before(end); <-tick.C {
			if _, err := c.Write([]byte(text("3"))); err != nil { // a pong too many does no harm
				return nil // that is what was to happen
			}
		}
		return fmt.Errorf("the connection is open after %v", allowed)
	}
}
