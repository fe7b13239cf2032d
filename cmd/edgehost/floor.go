package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// The floor speaks as much of the protocol as siobench's broadcast scenario needs, and fans out with a loop of write system
// calls on non-blocking descriptors: one frame made once, one call for each member, nothing else. What a broadcast costs a
// real server beyond that is the server's own.
//
//	client ─► HTTP upgrade            ◄─ 101, 0{open}
//	       ─► 40                      ◄─ 40{"sid":…}
//	       ─► 420["join",[room]]      ◄─ 430[]
//	       ─► 42n["bcast",room,text]  ◄─ 43n[], and to each member 42["msg",text]
type floor struct {
	mu      sync.Mutex
	members map[net.Conn]int // descriptors; guarded by mu
	frame   []byte           // guarded by mu
	order   []int            // the descriptors in a row; nil when members have changed; guarded by mu
}

// floorOpen tells the client not to expect a ping within an hour.
const floorOpen = `0{"sid":"floor","upgrades":[],"pingInterval":3600000,"pingTimeout":3600000,"maxPayload":1000000}`

func newFloor() *floor { return &floor{members: map[net.Conn]int{}} }

// serve takes connections until ctx ends.
func (f *floor) serve(ctx context.Context, ln net.Listener) error {
	conns := make(map[net.Conn]struct{})
	var mu sync.Mutex // guards conns
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() {
		_ = ln.Close()
		mu.Lock()
		defer mu.Unlock()
		for c := range conns {
			_ = c.Close()
		}
	})()
	for {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		mu.Lock()
		conns[c] = struct{}{}
		mu.Unlock()
		wg.Go(func() {
			f.client(c)
			mu.Lock()
			delete(conns, c)
			mu.Unlock()
			f.leave(c)
			_ = c.Close()
		})
	}
}

// client serves one connection until it ends.
func (f *floor) client(c net.Conn) {
	if _, err := (ws.Upgrader{}).Upgrade(c); err != nil {
		return
	}
	if err := wsutil.WriteServerText(c, []byte(floorOpen)); err != nil {
		return
	}
	for {
		data, op, err := wsutil.ReadClientData(c)
		if err != nil || op != ws.OpText {
			return
		}
		if err := f.packet(c, string(data)); err != nil {
			return
		}
	}
}

var errFloor = errors.New("not what the floor understands")

func (f *floor) packet(c net.Conn, p string) error {
	if p == "40" {
		return wsutil.WriteServerText(c, []byte(`40{"sid":"floor"}`)) //nolint:wrapcheck // ends the connection
	}
	at := strings.IndexByte(p, '[')
	if at < 2 || p[:2] != "42" {
		return errFloor
	}
	var args []json.RawMessage
	if err := json.Unmarshal([]byte(p[at:]), &args); err != nil || len(args) < 2 {
		return errFloor
	}
	switch string(args[0]) {
	case `"join"`:
		if err := f.join(c); err != nil {
			return err
		}
	case `"bcast"`:
		if err := f.broadcast(args[len(args)-1]); err != nil {
			return err
		}
	default:
		return errFloor
	}
	return wsutil.WriteServerText(c, []byte("43"+p[2:at]+"[]")) //nolint:wrapcheck // ends the connection
}

func (f *floor) join(c net.Conn) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return errFloor
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the descriptor: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = nil
	if err := raw.Control(func(fd uintptr) { f.members[c] = int(fd) }); err != nil {
		return fmt.Errorf("reach the descriptor: %w", err)
	}
	return nil
}

// leave is called before the connection, and with it the descriptor, is closed by its owner.
func (f *floor) leave(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.members, c)
	f.order = nil
}

// broadcast writes the event to all members. A member whose kernel buffer is full, or who is gone, fails it: then the
// measurement is none.
func (f *floor) broadcast(text json.RawMessage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	frame := ws.NewTextFrame([]byte(`42["msg",` + string(text) + `]`))
	var err error
	if f.frame, err = ws.CompileFrame(frame); err != nil {
		return fmt.Errorf("make the frame: %w", err)
	}
	if f.order == nil {
		for _, fd := range f.members {
			f.order = append(f.order, fd)
		}
	}
	return f.write()
}

// write is the floor itself; mu is held.
func (f *floor) write() error {
	p, n := uintptr(unsafe.Pointer(&f.frame[0])), uintptr(len(f.frame)) // f keeps the frame where it is
	for _, fd := range f.order {
		written, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), p, n)
		if errno != 0 || written != n {
			return fmt.Errorf("write: %d of %d bytes: %w", written, n, errno)
		}
	}
	return nil
}
