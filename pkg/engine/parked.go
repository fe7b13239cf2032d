package engine

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A GET that waits costs a goroutine with a deep stack, another one that looks whether the client is there, and the buffers
// of the HTTP server. One that has waited for parkAfter is taken away from that server: what is left is the connection, the
// head of the answer, and one goroutine that waits for either the answer or the client to go. The answer written and the next
// request there, the HTTP server gets the connection back (unparked.go).

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
	last   bool     // the connection closes behind the answer
}

// mayPark reports whether a GET can leave its HTTP server and come back.
func (s *Session) mayPark(w http.ResponseWriter, r *http.Request) bool {
	_, wrapped := w.(interface{ Unwrap() http.ResponseWriter })
	_, direct := w.(interface {
		http.Hijacker
		EnableFullDuplex() error // the HTTP server's own writer has it; of a wrapper it is too special to be handed on
	})
	if wrapped || !direct || s.srv.middleware != nil {
		return false // who wraps the answer wants to see it
	}
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || server == nil || server.BaseContext != nil || server.ConnContext != nil {
		return false // those would be asked a second time, by a listener they do not know
	}
	return r.ProtoMajor == 1 && r.ProtoMinor == 1 && !r.Close &&
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
	conn, first := withoutPrefix(conn)
	b, _ := rw.Peek(rw.Reader.Buffered()) // what is buffered is there
	k.conn, k.rest = conn, slices.Concat(b, first)
	k.setHead(w.Header())
	_ = conn.SetDeadline(time.Time{}) // fails only on a closed connection
	k.io = newNetIO(conn, s.srv)
	s.mu.Lock()
	p.parked = k
	s.mu.Unlock()
	s.srv.track.spawn(k.wait) // ends with the answer or the client; Server.Close answers, and waits
	return true
}

// setHead keeps the headers that are known by now.
func (k *parked) setHead(h http.Header) {
	k.last = hasToken(h["Connection"], "close")
	for _, name := range [...]string{"Content-Type", "Content-Length", "Transfer-Encoding", "Date"} {
		h.Del(name) // respond's own
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&head) // a buffer takes everything
	k.head = bytes.Clone(head.Bytes())
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
	k.unpark()
}
