package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// httpConn is a minimal HTTP/1.1 client over one keep-alive connection. net/http
// would do, but it costs several times the CPU time that the two cores shared
// with the server can spare.
type httpConn struct {
	addr     string
	patience time.Duration // limit of a request without a deadline of its own
	req      []byte
	body     []byte
	br       *bufio.Reader
	lastUse  time.Time

	mu     sync.Mutex // guards conn against interrupt
	conn   net.Conn
	closed bool
}

// maxIdle is below the keep-alive time of common servers (5 s in Node), so that a
// request never races with the server closing an idle connection.
const maxIdle = 3 * time.Second

func (h *httpConn) interrupt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.conn != nil {
		_ = h.conn.SetDeadline(time.Unix(1, 0)) // fails only on a connection that is closed already
	}
}

func (h *httpConn) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.conn != nil {
		h.conn.Close()
	}
}

// drop closes the connection until the next request.
func (h *httpConn) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		h.conn.Close()
		h.conn = nil
	}
}

func (h *httpConn) connect(deadline time.Time) error {
	if h.conn != nil && time.Since(h.lastUse) > maxIdle {
		h.conn.Close()
		h.conn = nil
	}
	if h.conn == nil {
		conn, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", h.addr)
		if err != nil {
			return err
		}
		h.br = bufio.NewReaderSize(conn, initialReadBuffer)
		h.mu.Lock()
		h.conn = conn
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return net.ErrClosed
	}
	return h.conn.SetDeadline(deadline)
}

// do sends one request and returns the body of a 200 response; the body is valid
// until the next call.
func (h *httpConn) do(head, payload []byte, deadline time.Time) ([]byte, error) {
	if deadline.IsZero() {
		deadline = time.Now().Add(h.patience)
	}
	if err := h.connect(deadline); err != nil {
		return nil, err
	}
	h.req = append(append(h.req[:0], head...), payload...)
	if _, err := h.conn.Write(h.req); err != nil {
		return nil, err
	}
	status, keep, err := h.response()
	h.lastUse = time.Now()
	if err != nil {
		return nil, err
	}
	if !keep {
		h.mu.Lock()
		h.conn.Close()
		h.conn = nil
		h.mu.Unlock()
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d: %.100q", status, h.body)
	}
	return h.body, nil
}

func (h *httpConn) line() ([]byte, error) {
	line, err := h.br.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (h *httpConn) response() (status int, keep bool, err error) {
	line, err := h.line()
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, false, fmt.Errorf("bad HTTP response %.40q", line)
	}
	keep = line[7] == '1'
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length, chunked := -1, false
	for {
		if line, err = h.line(); err != nil {
			return 0, false, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			keep = !bytes.EqualFold(value, []byte("close"))
		}
	}
	h.body = h.body[:0]
	if !chunked {
		if length < 0 {
			return 0, false, errors.New("HTTP response without a length")
		}
		return status, keep, h.readBody(length)
	}
	for {
		if line, err = h.line(); err != nil {
			return 0, false, err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return 0, false, fmt.Errorf("bad HTTP chunk: %w", err)
		}
		if err := h.readBody(int(size)); err != nil {
			return 0, false, err
		}
		if _, err = h.line(); err != nil { // the line end after a chunk, or no trailers
			return 0, false, err
		}
		if size == 0 {
			return status, keep, nil
		}
	}
}

// readBody appends n bytes to the body.
func (h *httpConn) readBody(n int) error {
	at := len(h.body)
	if cap(h.body)-at < n {
		h.body = append(make([]byte, 0, 2*cap(h.body)+n), h.body...)
	}
	h.body = h.body[:at+n]
	_, err := io.ReadFull(h.br, h.body[at:])
	return err
}
