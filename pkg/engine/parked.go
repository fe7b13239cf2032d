package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A GET that waits costs a goroutine with a deep stack, another one that looks whether the client is there, and the buffers
// of the HTTP server. One that has waited for parkAfter is taken away from that server: what is left is the connection, the
// head of the answer, and one goroutine that waits for either the answer or the client to go. The answer written, the HTTP
// server gets the connection back.

// parkAfter is how long a GET waits in the HTTP server: it comes back as late as that, or the moment that it parks would cost
// more than it saves.
const parkAfter = time.Second

// parked is a GET that waits outside of the HTTP server.
type parked struct {
	s      *Session
	poll   *pollRequest
	server *http.Server
	conn   net.Conn
	io     netIO
	rest   []byte   // what the client has sent too early
	head   []byte   // status line and headers but for those of the body
	accept []string // content codings the client takes
}

// mayPark reports whether a GET can leave its HTTP server and come back.
func (s *Session) mayPark(w http.ResponseWriter, r *http.Request) bool {
	if _, wrapped := w.(interface{ Unwrap() http.ResponseWriter }); wrapped || s.srv.middleware != nil {
		return false // who wraps the answer wants to see it
	}
	_, direct := w.(http.Hijacker)
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	return direct && ok && server != nil && r.ProtoMajor == 1 && r.ProtoMinor == 1 && !r.Close &&
		r.ContentLength == 0 // a body that nobody has read would be the next request
}

// expire is called by the wheel: the GET has waited for parkAfter.
func (p *pollRequest) expire() { close(p.longer) }

// park takes the connection of a GET that waits. It returns false if the GET stays where it is.
func (s *Session) park(w http.ResponseWriter, r *http.Request, p *pollRequest) bool {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return false
	}
	s.srv.headers(w.Header(), r)
	k := &parked{s: s, poll: p, server: server}
	for _, v := range r.Header["Accept-Encoding"] {
		k.accept = append(k.accept, strings.Clone(v)) // not the whole request's header
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Peek(n) // what is buffered is there
		k.rest = bytes.Clone(b)
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = w.Header().Write(&head) // a buffer takes everything
	k.head, k.conn = bytes.Clone(head.Bytes()), conn
	_ = conn.SetDeadline(time.Time{}) // fails only on a closed connection
	k.io = newNetIO(conn, s.srv)
	s.mu.Lock()
	p.parked = k
	s.mu.Unlock()
	s.srv.track.spawn(k.wait) // ends with the answer or the client; Server.Close answers, and waits
	return true
}

// poke wakes the goroutine that waits, since there is an answer.
func (k *parked) poke() { _ = k.conn.SetReadDeadline(time.Unix(1, 0)) } // fails only on a closed connection

// wait waits for the answer or the end of the client.
func (k *parked) wait() {
	for {
		select {
		case a := <-k.poll.answer:
			k.respond(a)
			return
		default:
		}
		if len(k.rest) > 0 { // another request: the answer comes first
			k.respond(<-k.poll.answer) // at the latest when the ping time-out ends the session
			return
		}
		buf, n, err := k.io.read()
		switch {
		case err == nil:
			k.rest = bytes.Clone((*buf)[:n])
			k.io.release(buf)
		case errors.Is(err, os.ErrDeadlineExceeded): // poked
		case k.s.abortPoll(k.poll): // POL-009
			_ = k.conn.Close() // nobody is there
			return
		default: // answered in that moment
		}
	}
}

// respond writes the answer and gives the connection back.
func (k *parked) respond(a pollAnswer) {
	s := k.s
	s.mu.Lock() // whoever has answered has it: the poke is over, and can do no harm to what comes
	k.poll.parked = nil
	s.mu.Unlock()
	buf := s.srv.bufs.get()
	defer s.srv.bufs.put(buf)
	body, coding := s.payload((*buf)[:0], a.msgs, k.accept)
	out := append(k.head, "Date: "...)
	out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
	out = append(out, "\r\nContent-Type: "...)
	out = append(out, s.dialect.payloadType(a.msgs)...)
	if coding != "" {
		out = append(out, "\r\nContent-Encoding: "...)
		out = append(out, coding...)
	}
	out = append(out, "\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(append(out, "\r\n\r\n"...), body...)
	if err := writeWithin(k.conn, out, s.srv.cfg.BodyTimeout); err != nil {
		s.fail(TransportError, errPollAborted, endNow)
		_ = k.conn.Close() // it cannot be used for anything
		return
	}
	s.wrotePoll(a.msgs)
	k.giveBack()
}

// giveBack lets the HTTP server go on with the connection, as if it were new.
func (k *parked) giveBack() {
	_ = k.conn.SetDeadline(time.Time{}) // fails only on a closed connection
	conn := k.conn
	if len(k.rest) > 0 {
		conn = &prefixed{Conn: conn, first: k.rest}
	}
	ln := &single{conn: conn}
	_ = k.server.Serve(ln) // returns at once, when it has seen that there is no other
	if ln.conn != nil {    // the server is being shut down
		_ = conn.Close()
	}
}

// single is a listener with one connection.
type single struct{ conn net.Conn }

func (l *single) Accept() (net.Conn, error) {
	conn := l.conn
	if conn == nil {
		return nil, io.EOF
	}
	l.conn = nil
	return conn, nil
}

func (l *single) Close() error { return nil }

func (l *single) Addr() net.Addr {
	if l.conn == nil {
		return &net.TCPAddr{}
	}
	return l.conn.LocalAddr()
}

// prefixed is a connection some of whose bytes have been read already.
type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.Conn.Read(b) //nolint:wrapcheck // it is that connection
	}
	n := copy(b, p.first)
	p.first = p.first[n:]
	return n, nil
}
