package relay

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

const (
	openTimeout = 2 * time.Second // for room on the link to the owner
	ownerFirst  = 2 * time.Second // by which the owner finds out sooner that a body does not come
	maxHead     = 64 << 10        // bytes of an answer's head
)

// errCut is an answer of the owner: that the client gets none.
var errCut = errors.New("cut by the owner")

// errClientGone says that the client has given its request up, or its body.
var errClientGone = errors.New("client gone")

// errOwnerLost says that the edge that had the session is gone, or does not answer.
var errOwnerLost = errors.New("owner lost")

// Relay is one edge's part in that. Make it with New, give its methods to the engine and the tunnel, and Bind it to both before
// they are used. Safe for concurrent use.
type Relay struct {
	cfg    Config
	engine *engine.Server
	tunnel *tunnel.Mux
	served tasks

	leaving context.Context //nolint:containedctx // ends what waits at other edges when this one leaves
	leave   context.CancelFunc
}

// Config is what a relay needs to know; Owner is required.
type Config struct {
	// Owner returns the edge whose session it is by its id, if that is alive and another one. The id is what a client wrote.
	Owner func(engine.SessionID) (mesh.Address, bool)
	// Patience is how long an answer may take: longer than a poll may wait. Default 60 s.
	Patience time.Duration
	// BodyTimeout is the time for a client's body to arrive, and for a client to take an answer. Default 60 s.
	BodyTimeout time.Duration

	Metrics *Metrics     // nil counts nothing
	Log     *slog.Logger // nil logs nothing
}

// New returns a relay.
func New(cfg Config) *Relay {
	if cfg.Patience <= 0 {
		cfg.Patience = time.Minute
	}
	if cfg.BodyTimeout <= 0 {
		cfg.BodyTimeout = time.Minute
	}
	if cfg.Metrics == nil {
		cfg.Metrics = &Metrics{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	y := &Relay{cfg: cfg}
	y.leaving, y.leave = context.WithCancel(context.Background())
	return y
}

// Bind tells the relay whom it works for, before anything reaches it.
func (y *Relay) Bind(e *engine.Server, t *tunnel.Mux) { y.engine, y.tunnel = e, t }

// Leave ends the requests that wait at other edges for their answers, and begins no more: their sessions are unknown, to the
// clients, and end. Call it before the engine closes, which waits for them.
func (y *Relay) Leave() { y.leave() }

// Foreign serves a request for a session of another edge; engine.Config.Foreign. It returns false if no edge alive has it, or
// that edge is lost: the session is unknown, then, and nobody else is asked.
func (y *Relay) Foreign(w http.ResponseWriter, r *http.Request, sid engine.SessionID) bool {
	owner, ok := y.cfg.Owner(sid)
	if !ok {
		y.cfg.Metrics.count(unknown)
		return false
	}
	err := y.pass(owner, w, r)
	switch {
	case err == nil:
		y.cfg.Metrics.count(relayed)
	case errors.Is(err, errCut):
		y.cfg.Metrics.count(relayed)
		cutClient(w)
	case errors.Is(err, errClientGone):
		y.cfg.Metrics.count(aborted)
		cutClient(w) // it may be there still, and not send its body
	case errors.Is(err, errOwnerLost):
		y.cfg.Metrics.count(ownerLost)
		return false
	case r.Context().Err() != nil:
		y.cfg.Metrics.count(aborted)
		cutClient(w)
	default:
		y.cfg.Metrics.count(failed)
		y.cfg.Log.Debug("request not relayed", slog.String("edge", owner.Instance.String()), slog.Any("err", err))
		cutClient(w)
	}
	return true
}

// pass sends a request to the edge that has the session and answers with what that answers. errOwnerLost means that
// nothing has been answered yet.
func (y *Relay) pass(owner mesh.Address, w http.ResponseWriter, r *http.Request) error {
	head, err := proto.Marshal(relayRequest(r))
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), openTimeout)
	defer cancel()
	hasBody := r.ContentLength != 0
	stream, err := y.tunnel.Open(ctx, owner, head, false)
	if err != nil {
		return orGone(r, fmt.Errorf("open stream: %w: %w", errOwnerLost, err))
	}
	stop := context.AfterFunc(r.Context(), func() { stream.Reset("client gone") })
	defer stop()
	stay := context.AfterFunc(y.leaving, func() { stream.Reset("stopping") }) //nolint:contextcheck // of all requests
	defer stay()
	var body *bodyCopy
	if hasBody {
		body = startBody(w, r, stream, y.cfg.BodyTimeout+ownerFirst) //nolint:contextcheck // the stream ends with the request
	} else if !upgrades(r) { // the server's own timeouts are not for requests that wait
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not supported = not set
	}
	in := bufio.NewReader(stream)
	answer, err := y.readAnswer(stream, in)
	err = orGone(r, err) // now: the end of the body may end the context
	stop()               // from here on what is written counts, and a client that has it may go at once
	body.end(w.Header())
	if err != nil {
		stream.Reset("answer not read")
		return err
	}
	if answer.GetStatus() == http.StatusSwitchingProtocols {
		// The engine's Close cuts it from here on.
		stay()
		_ = stream.SetReadDeadline(time.Time{}) // fails only on a closed stream
		if err := y.engine.RelayUpgrade(w, r, bufferedConn{stream, in}); err != nil {
			stream.Reset("no upgrade")
			return fmt.Errorf("relay upgrade: %w", err)
		}
		return nil
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(y.cfg.BodyTimeout)) // not supported = not set
	if err := passAnswer(w, answer, in); err != nil {
		stream.Reset("answer not delivered")
		return err
	}
	if !hasBody {
		_ = stream.CloseWrite() //nolint:contextcheck // the owner hears that its packets are with the client
	}
	return stream.Close() //nolint:wrapcheck // never fails
}

// orGone returns an error as one of the client's, if it is gone.
func orGone(r *http.Request, err error) error {
	if err == nil || r.Context().Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", errClientGone, err)
}

// readAnswer reads the head of the answer. An owner that takes too long is lost.
func (y *Relay) readAnswer(stream *tunnel.Stream, in *bufio.Reader) (*siomeshv1.RelayResponse, error) {
	if err := stream.SetReadDeadline(time.Now().Add(y.cfg.Patience)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	return parseAnswer(in)
}

// parseAnswer reads the head of an answer.
func parseAnswer(in *bufio.Reader) (*siomeshv1.RelayResponse, error) {
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w: %w", errOwnerLost, err)
	}
	if length > maxHead {
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
	switch status := answer.GetStatus(); {
	case status == 0:
		return nil, errCut
	case status != http.StatusSwitchingProtocols && (status < http.StatusOK || status > 599): // which net/http does not write, or writes more behind
		return nil, fmt.Errorf("answer with status %d", status)
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
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("pass answer: %w", err)
	}
	return nil
}

// relayRequest is a request as the owner gets it.
func relayRequest(r *http.Request) *siomeshv1.RelayRequest {
	q := &siomeshv1.RelayRequest{
		Method: r.Method, Uri: text(r.URL.RequestURI()), Host: text(r.Host), Remote: text(r.RemoteAddr),
		ContentLength: r.ContentLength, Minor: uint32(max(r.ProtoMinor, 0)), //nolint:gosec // not negative
	}
	for name, values := range r.Header {
		header := &siomeshv1.Handshake_Header{Name: text(name), Values: make([]string, len(values))}
		for i, v := range values {
			header.Values[i] = text(v)
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
