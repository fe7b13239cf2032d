package engine

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// WS-011: large bursts each way, for as long as it takes three pings to be sent and answered
// amid them. A pong that was held up would end the session.
func TestBurstsLeaveHeartbeatsAlone(t *testing.T) {
	const burst, size = 100, 64 << 10
	cfg := Config{PingInterval: 20 * time.Millisecond, PingTimeout: 5 * time.Second, MaxOutboundBytes: 64 << 20}
	onEachConn(t, cfg, echoing(), func(t *testing.T, e *env) {
		t.Helper()
		c, p := e.openWS()
		var mu sync.Mutex
		write := func(f ws.Frame) {
			mu.Lock()
			defer mu.Unlock()
			c.write(f)
		}
		pings := 0
		for end := time.Now().Add(deadline); pings < 3; {
			if time.Now().After(end) {
				t.Fatalf("%d pings within %v", pings, deadline)
			}
			var sending sync.WaitGroup
			sending.Go(func() {
				for i := range burst {
					write(ws.NewBinaryFrame(bytes.Repeat([]byte{byte(i)}, size)))
				}
			})
			for i := 0; i < burst; {
				f, err := c.read()
				if err != nil {
					t.Fatalf("read: %v", err)
				}
				if string(f.Payload) == "2" {
					pings++
					write(ws.NewTextFrame([]byte("3")))
					continue
				}
				if len(f.Payload) != size || f.Payload[0] != byte(i) || f.Payload[size-1] != byte(i) {
					t.Fatalf("echo %d is opcode %d with %d bytes", i, f.Header.OpCode, len(f.Payload))
				}
				i++
			}
			sending.Wait()
		}
		select {
		case <-p.closed:
			t.Errorf("closed with %q", p.reason)
		default:
		}
	})
}
