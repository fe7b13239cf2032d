package edge

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/tunnel"
)

// takeRelayed begins to serve a request that another edge has got for a session of this one; tunnel.Accept. It runs on the
// links' reader goroutine.
func (s *Service) takeRelayed(from mesh.Address, head []byte, stream *tunnel.Stream) {
	r, err := relayedRequest(head, stream)
	if err != nil || from.Kind != mesh.KindEdge {
		stream.Reset("unreadable request")
		return
	}
	if !s.relays.start(func() { s.serveRelayed(r, stream) }) {
		stream.Reset("stopping")
	}
}

// serveRelayed has the engine serve the request.
func (s *Service) serveRelayed(r *http.Request, stream *tunnel.Stream) {
	s.cfg.Metrics.relayed(relayServed)
	w := &relayedWriter{stream: stream, header: http.Header{}}
	joined := false
	s.engine.ServeRelayed(w, r, func() (net.Conn, error) {
		joined = true
		return stream, w.switchProtocols()
	})
	if joined {
		return // the stream is a client's WebSocket now
	}
	if !w.cut {
		_ = w.finish() // or the other edge has given up
	}
	_ = stream.Close() // never fails
}

// relayedRequest makes the request of a stream, whose end is the end of the request's context.
func relayedRequest(head []byte, stream *tunnel.Stream) (*http.Request, error) {
	var q siomeshv1.RelayRequest
	if err := proto.Unmarshal(head, &q); err != nil {
		return nil, fmt.Errorf("decode request: %w", err)
	}
	u, err := url.ParseRequestURI(q.GetUri())
	if err != nil {
		return nil, fmt.Errorf("decode request: %w", err)
	}
	r := &http.Request{
		Method: q.GetMethod(), URL: u, Host: q.GetHost(), RemoteAddr: q.GetRemote(), RequestURI: q.GetUri(),
		Proto: "HTTP/1." + strconv.Itoa(int(q.GetMinor())), ProtoMajor: 1, ProtoMinor: int(q.GetMinor()),
		Header: make(http.Header, len(q.GetHeaders())), ContentLength: q.GetContentLength(), Body: http.NoBody,
	}
	for _, h := range q.GetHeaders() {
		r.Header[h.GetName()] = h.GetValues()
	}
	if q.GetContentLength() != 0 {
		r.Body = io.NopCloser(stream)
	}
	return r.WithContext(streamContext{stream}), nil
}

// streamContext ends with a stream: that is when the client has given up its request, or the edge that relays it is gone.
type streamContext struct{ stream *tunnel.Stream }

// Deadline implements context.Context.
func (c streamContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (c streamContext) Done() <-chan struct{} { return c.stream.Done() }

// Err implements context.Context.
func (c streamContext) Err() error {
	select {
	case <-c.stream.Done():
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context.
func (c streamContext) Value(any) any { return nil }

// relayedWriter sends an answer to the edge that relays the request. It sends it whole, once the announced length is written.
// It is used by one goroutine.
type relayedWriter struct {
	stream  *tunnel.Stream
	header  http.Header
	started bool
	sent    bool
	cut     bool // the client's connection is to be cut instead
	buf     []byte
}

// Header implements http.ResponseWriter.
func (w *relayedWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *relayedWriter) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started = true
	w.buf = appendAnswer(w.buf, status, w.header)
}

// Write implements http.ResponseWriter.
func (w *relayedWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.buf = append(w.buf, b...)
	return len(b), nil
}

// FlushError is for http.ResponseController; the engine flushes what it has written to its end.
func (w *relayedWriter) FlushError() error { return w.finish() }

// SetReadDeadline is for http.ResponseController.
func (w *relayedWriter) SetReadDeadline(t time.Time) error {
	return w.stream.SetReadDeadline(t) //nolint:wrapcheck // says it all
}

// SetWriteDeadline is for http.ResponseController.
func (w *relayedWriter) SetWriteDeadline(t time.Time) error {
	return w.stream.SetWriteDeadline(t) //nolint:wrapcheck // says it all
}

// Hijack is for http.ResponseController: closing the connection cuts the client's.
func (w *relayedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.started {
		return nil, nil, errors.New("answered already")
	}
	w.started, w.sent, w.cut = true, true, true
	return cutter{w.stream}, nil, nil
}

// finish sends the answer.
func (w *relayedWriter) finish() error {
	if w.sent {
		return nil
	}
	w.WriteHeader(http.StatusOK)
	w.sent = true
	if _, err := w.stream.WriteLast(w.buf); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	return nil
}

// switchProtocols has the other edge send the 101; the stream is the client's WebSocket from then on.
func (w *relayedWriter) switchProtocols() error {
	w.started, w.sent = true, true
	if _, err := w.stream.Write(appendAnswer(nil, http.StatusSwitchingProtocols, nil)); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	return nil
}

// cutter is a client's connection of which nothing is wanted but that it ends.
type cutter struct{ *tunnel.Stream }

// Close implements net.Conn.
func (c cutter) Close() error {
	_, err := c.WriteLast(appendAnswer(nil, 0, nil))
	return err //nolint:wrapcheck // an io.Closer's own
}

func appendAnswer(b []byte, status int, header http.Header) []byte {
	answer := &siomeshv1.RelayResponse{Status: int32(status)} //nolint:gosec // three digits
	for name, values := range header {
		answer.Headers = append(answer.Headers, &siomeshv1.Handshake_Header{Name: toText(name), Values: values})
	}
	b = binary.AppendUvarint(b, uint64(proto.Size(answer))) //nolint:gosec // not negative
	b, err := proto.MarshalOptions{}.MarshalAppend(b, answer)
	if err != nil { // a program's hook set a header that is no UTF-8
		return appendAnswer(nil, http.StatusInternalServerError, nil)
	}
	return b
}
