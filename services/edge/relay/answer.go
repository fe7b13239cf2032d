package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/tunnel"
)

// answer sends an answer to the edge that relays the request. It sends it whole, once the announced length is written.
// It is used by one goroutine.
type answer struct {
	stream  *tunnel.Stream
	header  http.Header
	started bool
	sent    bool
	buf     []byte
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *answer) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started = true
	w.buf = appendAnswer(w.buf, status, w.header)
}

// Write implements http.ResponseWriter.
func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.buf = append(w.buf, b...)
	return len(b), nil
}

// FlushError is for http.ResponseController. The engine flushes a payload that it has written to its end, and wants to know
// whether it is on its way to the client: what is not is lost, and the session with it. So this waits until the other edge has
// written it.
func (w *answer) FlushError() error {
	if err := w.finish(); err != nil {
		return err
	}
	var b [1]byte
	if _, err := w.stream.Read(b[:]); !errors.Is(err, io.EOF) {
		return fmt.Errorf("wait for the other edge: %w", errors.Join(err, errNotDelivered))
	}
	return nil
}

// errNotDelivered is an answer of which it is not known that the client has it.
var errNotDelivered = errors.New("answer not delivered")

// SetReadDeadline is for http.ResponseController.
func (w *answer) SetReadDeadline(t time.Time) error {
	return w.stream.SetReadDeadline(t) //nolint:wrapcheck // says it all
}

// SetWriteDeadline is for http.ResponseController; it bounds FlushError too.
func (w *answer) SetWriteDeadline(t time.Time) error {
	return w.stream.SetDeadline(t) //nolint:wrapcheck // says it all
}

// Hijack is for http.ResponseController: closing the connection cuts the client's.
func (w *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.started {
		return nil, nil, errors.New("answered already")
	}
	w.started, w.sent = true, true
	return cutter{w.stream}, nil, nil
}

// finish sends the answer.
func (w *answer) finish() error {
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
func (w *answer) switchProtocols() error {
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
	head := &siomeshv1.RelayResponse{Status: int32(status)} //nolint:gosec // three digits
	for name, values := range header {
		head.Headers = append(head.Headers, &siomeshv1.Handshake_Header{Name: text(name), Values: values})
	}
	b = binary.AppendUvarint(b, uint64(proto.Size(head))) //nolint:gosec // not negative
	b, err := proto.MarshalOptions{}.MarshalAppend(b, head)
	if err != nil { // a program's hook set a header that is no UTF-8
		return appendAnswer(nil, http.StatusInternalServerError, nil)
	}
	return b
}

// text makes UTF-8 of what a client wrote, since protobuf carries nothing else.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
