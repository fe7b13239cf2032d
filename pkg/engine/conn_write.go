package engine

import (
	"errors"
	"net"
)

// Writing: whoever sends tries to write at once, without waiting. What the kernel refuses
// is kept in pend, and a goroutine writes it, for as long as there is any.

// writable reports whether the kernel has taken everything so far.
func (c *wsConn) writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == connOpen && !c.flushing
}

// pending returns how many bytes the kernel has not taken yet.
func (c *wsConn) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pendLen
}

// send writes the messages' frames, or keeps them to be written; it never waits. After an
// error the connection is to be killed.
func (c *wsConn) send(msgs []*Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(msgs)
}

// sendWithin is send unless more than limit bytes would wait, but for messages that wait alone: ErrSlow.
func (c *wsConn) sendWithin(msgs []*Message, limit int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pendLen > 0 && int64(c.pendLen+sizeOf(msgs)) > limit {
		return ErrSlow
	}
	return c.sendLocked(msgs)
}

func (c *wsConn) sendLocked(msgs []*Message) error {
	if c.state != connOpen {
		return net.ErrClosed
	}
	if len(msgs) == 1 {
		return c.writeLocked(c.frame(msgs[0]))
	}
	for i := 0; i < len(msgs); {
		if c.flushing {
			c.keepLocked(c.frame(msgs[i]))
			i++
			continue
		}
		n, err := c.writeSomeLocked(msgs[i:])
		if err != nil {
			return err
		}
		i += n
	}
	return nil
}

// writeLocked writes or keeps one frame.
func (c *wsConn) writeLocked(frame []byte) error {
	if c.flushing {
		c.keepLocked(frame)
		return nil
	}
	n, err := c.io.tryWrite(frame)
	if errors.Is(err, errAgain) {
		c.keepLocked(frame[n:])
		c.startFlushLocked()
		return nil
	}
	return err
}

// writeSomeLocked puts as many frames as fit a buffer into one write, at least one, and
// returns how many are written or kept.
func (c *wsConn) writeSomeLocked(msgs []*Message) (int, error) {
	buf := c.srv.bufs.get()
	defer c.srv.bufs.put(buf)
	b, taken := (*buf)[:0], 0
	for _, m := range msgs {
		frame := c.frame(m)
		if len(b)+len(frame) > cap(b) {
			break
		}
		b = append(b, frame...)
		taken++
	}
	if taken < 2 {
		return 1, c.writeLocked(c.frame(msgs[0]))
	}
	n, err := c.io.tryWrite(b)
	if !errors.Is(err, errAgain) {
		return taken, err
	}
	for _, m := range msgs[:taken] {
		frame := c.frame(m)
		if n < len(frame) {
			c.keepLocked(frame[n:])
		}
		n = max(0, n-len(frame))
	}
	c.startFlushLocked()
	return taken, nil
}

func (c *wsConn) keepLocked(b []byte) {
	c.pend = append(c.pend, b)
	c.pendLen += len(b)
}

func (c *wsConn) startFlushLocked() {
	c.flushing = true
	c.srv.track.spawn(c.flush) // ends when pend is empty or the connection dead; Server.Close waits
}

// flush writes pend until it is empty.
func (c *wsConn) flush() {
	timeout := c.srv.cfg.PingInterval + c.srv.cfg.PingTimeout // for each part: a client this slow is gone
	buf := c.srv.bufs.get()
	defer c.srv.bufs.put(buf)
	for {
		part, told := c.nextPart(*buf)
		if told != nil {
			told()
		}
		if part == nil {
			return
		}
		if err := c.io.write(part, timeout); err != nil {
			c.fail(TransportError, err)
			return
		}
		c.wrote(len(part))
	}
}

// wrote accounts for n bytes of pend that have been written.
func (c *wsConn) wrote(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != connDead {
		c.pendLen -= n
	}
}

// nextPart takes what to write next from pend: several frames in buf, or a piece of a large
// one. With nothing left it ends the flush, and returns how the owner is to be told that.
func (c *wsConn) nextPart(buf []byte) (part []byte, told func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == connDead {
		return nil, nil
	}
	if len(c.pend) == 0 {
		c.pend, c.flushing = nil, false
		c.io.wrote()
		if c.state != connDraining {
			return nil, c.owner.emptied
		}
		c.drainedLocked()
		return nil, c.owner.drained
	}
	if first := c.pend[0]; len(first) >= len(buf) {
		c.pend[0] = first[len(buf):]
		if len(c.pend[0]) == 0 {
			c.dropPendLocked(1)
		}
		return first[:len(buf)], nil
	}
	part = buf[:0]
	taken := 0
	for _, b := range c.pend {
		if len(part)+len(b) > len(buf) {
			break
		}
		part = append(part, b...)
		taken++
	}
	c.dropPendLocked(taken)
	return part, nil
}

func (c *wsConn) dropPendLocked(n int) {
	clear(c.pend[:n]) // frames are shared: do not hold them
	c.pend = c.pend[n:]
}
