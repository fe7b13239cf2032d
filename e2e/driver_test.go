package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"
	"time"
)

const (
	answersWithin = 20 * time.Second
	ackWithin     = answersWithin - 5*time.Second // as the client counts, which then says so
)

// driver controls stock clients, which run in a Node process (driver.mjs).
type driver struct {
	in io.WriteCloser

	mu      sync.Mutex
	lastID  int                // guarded by mu
	answers map[int]chan reply // guarded by mu
	heard   []heard            // guarded by mu; everything the clients were told, in order
	more    chan struct{}      // guarded by mu; closed and replaced when heard grows
}

// reply is what the driver answers to an order.
type reply struct {
	Args  []json.RawMessage `json:"args"`
	Error string            `json:"error"`
}

// heard is an event that reached a client; connect, connect_error (final), retry and disconnect among them.
type heard struct {
	Client string            `json:"client"`
	Event  string            `json:"event"`
	Args   []json.RawMessage `json:"args"`
}

// is tells whether the event is that client's, of that name, and starts with these arguments.
func (h heard) is(client, event string, args ...any) bool {
	if h.Client != client || h.Event != event || len(h.Args) < len(args) {
		return false
	}
	for i, arg := range args {
		want, err := json.Marshal(arg)
		if err != nil || string(want) != string(h.Args[i]) {
			return false
		}
	}
	return true
}

// member is a string in the object that is the first argument, "" if there is none.
func (h heard) member(key string) string {
	var object map[string]any
	if len(h.Args) == 0 || json.Unmarshal(h.Args[0], &object) != nil {
		return ""
	}
	s, _ := object[key].(string)
	return s
}

func newDriver(tb testing.TB) *driver {
	tb.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), "node", "driver.mjs")
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start the driver: %v", err)
	}
	d := &driver{in: in, answers: make(map[int]chan reply), more: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- d.read(out) }() // ends with the process, which the cleanup waits for
	tb.Cleanup(func() {
		in.Close()
		stuck := time.AfterFunc(endsWithin, func() { _ = cmd.Process.Kill() })
		defer stuck.Stop()
		if err := errors.Join(<-ended, cmd.Wait()); err != nil {
			tb.Errorf("driver: %v", err)
		}
		if tb.Failed() {
			tb.Logf("the clients heard: %s", d)
		}
	})
	return d
}

// open starts a client, which connects and reconnects as the stock client does.
func (d *driver) open(tb testing.TB, client, url string) {
	tb.Helper()
	d.order(tb, map[string]any{"op": "open", "client": client, "url": url})
}

// connect starts a client and returns its socket id.
func (d *driver) connect(tb testing.TB, client, url string) string {
	tb.Helper()
	from := d.now()
	d.open(tb, client, url)
	return d.connected(tb, client, from)
}

// connected waits until the client has connected after that moment, and returns its socket id.
func (d *driver) connected(tb testing.TB, client string, from int) string {
	tb.Helper()
	return text(tb, d.wait(tb, from, client+" is connected", func(h heard) bool { return h.is(client, "connect") }).Args)
}

// request emits an event and returns the first argument of its acknowledgement.
func (d *driver) request(tb testing.TB, client, event string, args ...any) json.RawMessage {
	tb.Helper()
	r := d.order(tb, map[string]any{
		"op": "request", "client": client, "event": event, "args": append([]any{}, args...), "timeout": ackWithin.Milliseconds(),
	})
	if len(r) == 0 {
		return nil
	}
	return r[0]
}

// emit emits an event that wants no acknowledgement.
func (d *driver) emit(tb testing.TB, client, event string, args ...any) {
	tb.Helper()
	d.order(tb, map[string]any{"op": "emit", "client": client, "event": event, "args": append([]any{}, args...)})
}

func (d *driver) order(tb testing.TB, order map[string]any) []json.RawMessage {
	tb.Helper()
	r := d.orderReply(tb, order)
	if r.Error != "" {
		tb.Fatalf("%s of client %v: %s", order["op"], order["client"], r.Error)
	}
	return r.Args
}

// orderReply is order for an order that may fail.
func (d *driver) orderReply(tb testing.TB, order map[string]any) reply {
	tb.Helper()
	answer := make(chan reply, 1)
	d.mu.Lock()
	d.lastID++
	order["id"] = d.lastID
	d.answers[d.lastID] = answer
	d.mu.Unlock()
	line, err := json.Marshal(order)
	if err == nil {
		_, err = d.in.Write(append(line, '\n'))
	}
	if err != nil {
		tb.Fatalf("order the driver: %v", err)
	}
	select {
	case r := <-answer:
		return r
	case <-time.After(answersWithin):
		tb.Fatalf("%s of client %v: no answer", order["op"], order["client"])
		return reply{}
	}
}

// now is a moment, to tell what was heard before from what is heard after.
func (d *driver) now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.heard)
}

// since returns what was heard after that moment and passes the test.
func (d *driver) since(from int, test func(heard) bool) []heard {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []heard
	for _, h := range d.heard[from:] {
		if test(h) {
			found = append(found, h)
		}
	}
	return found
}

// wait returns the first thing heard after that moment that passes the test.
func (d *driver) wait(tb testing.TB, from int, what string, test func(heard) bool) heard {
	tb.Helper()
	late := time.After(answersWithin)
	for {
		d.mu.Lock()
		more := d.more
		d.mu.Unlock()
		if found := d.since(from, test); len(found) > 0 {
			return found[0]
		}
		select {
		case <-more:
		case <-late:
			tb.Fatalf("not within %v: %s", answersWithin, what)
		}
	}
}

func (d *driver) read(out io.Reader) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			ID int `json:"id"`
			reply
			Client string `json:"client"`
			Event  string `json:"event"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		d.mu.Lock()
		if line.ID != 0 {
			d.answers[line.ID] <- reply{Args: line.Args, Error: line.Error}
			delete(d.answers, line.ID)
		} else {
			d.heard = append(d.heard, heard{Client: line.Client, Event: line.Event, Args: line.Args})
			close(d.more)
			d.more = make(chan struct{})
		}
		d.mu.Unlock()
	}
	return lines.Err()
}

// String lists what was heard, for a test that failed.
func (d *driver) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := ""
	for _, h := range d.heard {
		s += fmt.Sprintf("\n%s: %s %s", h.Client, h.Event, h.Args)
	}
	return s
}

// text is the first argument, a string.
func text(tb testing.TB, args []json.RawMessage) string {
	tb.Helper()
	if len(args) == 0 {
		tb.Fatal("no argument, want a string")
	}
	var s string
	if err := json.Unmarshal(args[0], &s); err != nil {
		tb.Fatalf("argument %s is no string", args[0])
	}
	return s
}
