package engine

// leaving ends a connection that takes too long to drain or to be closed by the client.
type leaving struct {
	alarm alarm
	c     *wsConn
}

func (l *leaving) expire() {
	owner, _ := l.c.current()
	owner.drained() // as far as it ever will be
	l.c.kill()
}

// shutdown sends a close frame behind everything sent before, and nothing after it. Then
// the connection lingers for the client's close frame, or is closed if that has come
// already. It returns true if the frame went out at once; otherwise the owner's drained is
// called when it has, or when the time for it is over.
func (c *wsConn) shutdown(frame []byte, linger bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != connOpen {
		return false
	}
	if !c.srv.leave(c) { // nothing is waited for any more
		c.cutIdleLocked(frame)
		return true
	}
	c.state, c.linger = connDraining, linger
	c.alarm = &leaving{c: c}
	c.alarm.alarm.target = c.alarm
	timeout := closeTimeout
	if !linger { // the client wants no more
		timeout = lingerTimeout
	}
	c.srv.wheel.arm(&c.alarm.alarm, c.srv.wheel.now()+timeout)
	if err := c.writeLocked(frame); err != nil {
		c.killLocked()
		return true // there is nothing left to wait for
	}
	if c.flushing {
		return false
	}
	c.drainedLocked()
	return true
}

// drainedLocked goes on after everything including the close frame has been written.
func (c *wsConn) drainedLocked() {
	if !c.linger {
		c.killLocked()
		return
	}
	c.state = connLingering
	c.srv.wheel.arm(&c.alarm.alarm, c.srv.wheel.now()+lingerTimeout)
}

// kill cuts the connection. A client that is still reading gets a close frame if that can
// be written at once.
func (c *wsConn) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutIdleLocked(closeFrame)
}

// cutIdleLocked ends the connection, with a last frame if that does not end up amid others.
func (c *wsConn) cutIdleLocked(farewell []byte) {
	if c.state != connOpen || c.flushing {
		farewell = nil
	}
	c.cutLocked(farewell)
}

func (c *wsConn) killLocked() { c.cutLocked(nil) }

// cutLocked ends the connection, with a last frame if there is one.
func (c *wsConn) cutLocked(farewell []byte) {
	if c.state == connDead {
		return
	}
	c.state = connDead
	c.pend, c.pendLen = nil, 0
	if c.alarm != nil {
		c.srv.wheel.stop(&c.alarm.alarm)
		c.srv.left(c)
	}
	c.io.close(farewell)
}
