package relay

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/tunnel"
)

// bodyCopy sends the body of a client's request on its way, while the answer is waited for: that may come before all of it.
type bodyCopy struct {
	rc   *http.ResponseController
	body io.Reader
	to   *tunnel.Stream
	done chan struct{}

	mu      sync.Mutex
	reading bool // guarded by mu: the client may still send of it
	cut     bool // guarded by mu: the answer is there, or none will come
}

// startBody begins to copy a body that has a time to arrive in; end waits for it.
func startBody(w http.ResponseWriter, r *http.Request, to *tunnel.Stream, timeout time.Duration) *bodyCopy {
	c := &bodyCopy{rc: http.NewResponseController(w), body: r.Body, to: to, done: make(chan struct{}), reading: true}
	_ = c.rc.SetReadDeadline(time.Now().Add(timeout)) // not supported = not set
	go c.run()                                        // waited for in end
	return c
}

// end waits for the copy to end, at once if the answer came first: then the rest of the body is not read, and the connection
// closes behind the answer, as the header says. Nothing is to be done for no body.
func (c *bodyCopy) end(header http.Header) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.cut = true
	if c.reading {
		header.Set("Connection", "close")
		_ = c.rc.SetReadDeadline(time.Unix(1, 0)) // not supported = the client sees to it
	}
	c.mu.Unlock()
	<-c.done
}

// run copies. A body that cannot be read is a client that has given up its request, unless the answer is there already.
func (c *bodyCopy) run() {
	defer close(c.done)
	buf := make([]byte, 4<<10)
	for {
		n, err := c.body.Read(buf)
		if errors.Is(err, io.EOF) {
			c.received()
		}
		if n > 0 {
			if _, err := c.to.Write(buf[:n]); err != nil {
				return // the reader of the answer hears of it
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = c.to.CloseWrite() // as above
			return
		case err != nil:
			if c.wanted() {
				c.to.Reset("body not read")
			}
			return
		}
	}
}

// wanted reports whether end has not been called.
func (c *bodyCopy) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.cut
}

// received notes that all has been read. The deadline goes: running out would look like the client's going, for every later
// request of its connection too.
func (c *bodyCopy) received() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading {
		c.reading = false
		_ = c.rc.SetReadDeadline(time.Time{}) // not supported = not set
	}
}
