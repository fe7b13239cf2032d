package relay

import (
	"context"
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

// Accept begins to serve a request that another edge has got for a session of this one; tunnel.Accept.
func (y *Relay) Accept(from mesh.Address, head []byte, stream *tunnel.Stream) {
	r, err := relayedRequest(head, stream)
	if err != nil || from.Kind != mesh.KindEdge {
		stream.Reset("unreadable request")
		return
	}
	if !y.served.start(func() { y.serve(r, stream) }) {
		stream.Reset("stopping")
	}
}

// Wait lets no more requests of other edges begin, and returns when all have ended; those that wait for packets end when the
// engine closes.
func (y *Relay) Wait() { y.served.wait() }

// serve has the engine serve the request.
func (y *Relay) serve(r *http.Request, stream *tunnel.Stream) {
	y.cfg.Metrics.count(served)
	w := &answer{stream: stream, header: http.Header{}}
	joined := false
	y.engine.ServeRelayed(w, r, func() (net.Conn, error) {
		joined = true
		return stream, w.switchProtocols()
	})
	if joined {
		return // the stream is a client's WebSocket now
	}
	_ = w.finish()     // or the other edge has given up
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
