package edge

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/tunnel"
	"github.com/siomesh/siomesh/pkg/engine"
)

// Any edge takes any request. One for a session of another edge goes there, on a stream of its own between the two: the
// request's head and body one way, the answer the other way (proto/siomesh/v1/relay.proto). Nothing is ever sent twice: a
// stream that fails is a request that failed. This file is the edge that got the request; relayed.go is the one that has the
// session.

const (
	relayOpenTimeout = 2 * time.Second // for room on the link to the owner
	relayPatience    = 15 * time.Second
	relayHeadLimit   = 64 << 10
)

// errOwnerLost says that the edge that had the session is gone, or does not answer.
var errOwnerLost = errors.New("owner lost")

// relay serves a request for a session of another edge; engine.Config.Foreign. It returns false if there is no such edge: the
// session is unknown, then, and nobody else is asked.
func (s *Service) relay(w http.ResponseWriter, r *http.Request, sid engine.SessionID) bool {
	owner, ok := s.ownerOf(sid)
	if !ok {
		s.cfg.Metrics.relayed(relayUnknown)
		return false
	}
	err := s.relayTo(owner, w, r)
	switch {
	case err == nil:
		s.cfg.Metrics.relayed(relayDone)
	case r.Context().Err() != nil:
		s.cfg.Metrics.relayed(relayAborted)
	case errors.Is(err, errOwnerLost):
		s.cfg.Metrics.relayed(relayLost)
		return false
	default:
		s.cfg.Metrics.relayed(relayFailed)
		s.log.Debug("request not relayed", slog.String("edge", owner.Instance.String()), slog.Any("err", err))
		cutClient(w)
	}
	return true
}

// ownerOf returns the edge that a session id names, if it is alive and not this one. What a client writes is only compared.
func (s *Service) ownerOf(sid engine.SessionID) (mesh.Address, bool) {
	if len(sid) <= mesh.InstanceIDLen {
		return mesh.Address{}, false
	}
	id, err := mesh.ParseInstanceID(string(sid[:mesh.InstanceIDLen]))
	if err != nil || id == s.self.Instance {
		return mesh.Address{}, false
	}
	p, ok := s.peers.Peer(id)
	return p.Address, ok && p.Kind == mesh.KindEdge
}

// relayTo sends a request to the edge that has the session and answers with what that answers. errOwnerLost means that
// nothing has been answered yet.
func (s *Service) relayTo(owner mesh.Address, w http.ResponseWriter, r *http.Request) error {
	head, err := proto.Marshal(relayRequest(r))
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), relayOpenTimeout)
	defer cancel()
	hasBody := r.ContentLength != 0
	stream, err := s.tunnel.Open(ctx, owner, head, !hasBody && !upgrades(r))
	if err != nil {
		return fmt.Errorf("open stream: %w: %w", errOwnerLost, err)
	}
	stop := context.AfterFunc(r.Context(), func() { stream.Reset("client gone") })
	defer stop()
	if hasBody {
		defer s.relayBody(w, r, stream)()
	} else if !upgrades(r) { // the server's own timeouts are not for requests that wait
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not supported = not set
	}
	in := bufio.NewReader(stream)
	answer, err := s.readAnswer(stream, in)
	if err != nil {
		stream.Reset("answer not read")
		return err
	}
	if answer.GetStatus() == http.StatusSwitchingProtocols {
		stop()
		if err := s.engine.RelayUpgrade(w, r, bufferedConn{stream, in}); err != nil {
			stream.Reset("no upgrade")
			return fmt.Errorf("relay upgrade: %w", err)
		}
		return nil
	}
	defer stream.Close()
	return passAnswer(w, answer, in)
}

// relayBody sends the body of a request on its way, and returns what waits for the end of that; a body that is not wanted any
// more is not read to its end.
func (s *Service) relayBody(w http.ResponseWriter, r *http.Request, stream *tunnel.Stream) (finish func()) {
	rc, done := http.NewResponseController(w), make(chan struct{})
	_ = rc.SetReadDeadline(time.Now().Add(time.Minute)) // the owner has a shorter one, by its configuration; not supported = not set
	go func() {                                         // waited for by finish
		defer close(done)
		passBody(stream, r.Body)
	}()
	return func() {
		select {
		case <-done:
		default:
			_ = rc.SetReadDeadline(time.Unix(1, 0)) // the answer came first
			<-done
		}
	}
}

// passBody sends a body on its way. A body that cannot be read is a client that has given up its POST, unless the answer is
// there already.
func passBody(stream *tunnel.Stream, body io.Reader) {
	buf := make([]byte, 4<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := stream.Write(buf[:n]); err != nil {
				return // the reader of the answer hears of it
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = stream.CloseWrite() // as above
			return
		case err != nil:
			stream.Reset("body not read")
			return
		}
	}
}

// readAnswer reads the head of the answer. An owner that does not answer in the time that its heartbeat leaves it is lost.
func (s *Service) readAnswer(stream *tunnel.Stream, in *bufio.Reader) (*siomeshv1.RelayResponse, error) {
	timeout := orDefault(s.cfg.PingInterval, 25*time.Second) + orDefault(s.cfg.PingTimeout, 20*time.Second) + relayPatience
	if err := stream.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w: %w", errOwnerLost, err)
	}
	if length > relayHeadLimit {
		return nil, fmt.Errorf("answer with a head of %d bytes", length)
	}
	head := make([]byte, length)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, fmt.Errorf("read answer: %w: %w", errOwnerLost, err)
	}
	answer := &siomeshv1.RelayResponse{}
	if err := proto.Unmarshal(head, answer); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	if err := stream.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	if answer.GetStatus() == 0 {
		return nil, errors.New("cut by the owner")
	}
	return answer, nil
}

// passAnswer gives the owner's answer to the client.
func passAnswer(w http.ResponseWriter, answer *siomeshv1.RelayResponse, body io.Reader) error {
	h := w.Header()
	for _, header := range answer.GetHeaders() {
		h[header.GetName()] = header.GetValues()
	}
	w.WriteHeader(int(answer.GetStatus()))
	if _, err := io.Copy(struct{ io.Writer }{w}, body); err != nil {
		return fmt.Errorf("pass answer: %w", err)
	}
	return nil
}

// relayRequest is a request as the owner gets it.
func relayRequest(r *http.Request) *siomeshv1.RelayRequest {
	q := &siomeshv1.RelayRequest{
		Method: r.Method, Uri: r.URL.RequestURI(), Host: toText(r.Host), Remote: r.RemoteAddr,
		ContentLength: r.ContentLength, Minor: uint32(max(r.ProtoMinor, 0)), //nolint:gosec // not negative
	}
	for name, values := range r.Header {
		header := &siomeshv1.Handshake_Header{Name: toText(name), Values: make([]string, len(values))}
		for i, v := range values {
			header.Values[i] = toText(v)
		}
		q.Headers = append(q.Headers, header)
	}
	return q
}

func upgrades(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// cutClient ends the client's connection, as its own server does with a request that it does not want to answer.
func cutClient(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = conn.Close() // nothing is to be told to the peer
}

// bufferedConn is a stream of which something has been read already.
type bufferedConn struct {
	*tunnel.Stream
	in *bufio.Reader
}

// Read implements net.Conn.
func (c bufferedConn) Read(p []byte) (int, error) {
	return c.in.Read(p) //nolint:wrapcheck // an io.Reader's own
}

var _ net.Conn = bufferedConn{}
