package engine

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// switching is the ResponseWriter of a request that asks for WebSocket. The status 101
// makes the WebSocket, with the headers that are set by then: so a middleware that adds
// its own in a WriteHeader that wraps this one has them on the 101 too (EVT-018, EVT-022).
// Any other answer ends the connection.
type switching struct {
	http.ResponseWriter
	srv *Server
	r   *http.Request

	join    func() (net.Conn, error) // makes the stream to the relay that answers the client; nil if none does
	conn    net.Conn                 // nil until the 101 is sent, and again when it is taken
	first   []byte                   // what the client has sent behind its request
	deflate bool                     // the client has offered what we take of permessage-deflate
	err     error
}

// newSwitching returns the writer for r around w.
func newSwitching(s *Server, w http.ResponseWriter, r *http.Request) *switching {
	w.Header().Set("Connection", "close") // for all but the 101
	return &switching{ResponseWriter: w, srv: s, r: r}
}

// Unwrap is for http.ResponseController.
func (u *switching) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// WriteHeader sends the header of the answer; the first 101 is a WebSocket handshake.
func (u *switching) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
		return
	}
	if u.conn == nil && u.err == nil {
		u.err = u.shake()
	}
}

// shake makes the WebSocket handshake of a verified request.
func (u *switching) shake() error {
	if u.join != nil {
		return u.shakeRelayed()
	}
	h := u.Header()
	h.Del("Connection")
	up := ws.HTTPUpgrader{Header: h}
	var extension wsflate.Extension
	if u.srv.cfg.PerMessageDeflate {
		extension.Parameters = wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}
		up.Negotiate = decliningErrors(extension.Negotiate)
	}
	conn, rw, _, err := up.Upgrade(u.r, u.ResponseWriter)
	if err != nil {
		if conn != nil {
			_ = conn.Close() // it cannot be used for anything
		}
		return fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Peek(n) // what is buffered is there
		u.first = append(u.first, b...)
	}
	u.conn = conn
	_, u.deflate = extension.Accepted()
	return nil
}

// shakeRelayed has the relay of the request make the handshake.
func (u *switching) shakeRelayed() error {
	stream, err := u.join()
	if err != nil {
		return fmt.Errorf("upgrade at the relay: %w", err)
	}
	conn, deflate, err := newRelayedConn(stream)
	if err != nil {
		_ = stream.Close() // it cannot be used for anything
		return err
	}
	u.conn, u.deflate = conn, deflate
	return nil
}

// take returns the connection after the 101, which is the caller's from now on.
func (u *switching) take() (net.Conn, error) {
	u.WriteHeader(http.StatusSwitchingProtocols) // unless some wrapper has let it through already
	conn := u.conn
	if conn == nil {
		return nil, u.err
	}
	u.conn, u.err = nil, errTaken
	return conn, nil
}

// end closes a connection that nobody has taken.
func (u *switching) end() {
	if u.conn != nil {
		_ = u.conn.Close() // nothing is to be told to the peer
	}
}

// errTaken keeps a second 101 from being sent.
var errTaken = errors.New("the connection has been taken")

// switchingOf returns the switching that w is or wraps, nil if it cannot be reached.
func switchingOf(w http.ResponseWriter) *switching {
	for {
		switch v := w.(type) {
		case *switching:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// decliningErrors declines an offer that makes no sense, which is not worth the connection.
func decliningErrors[Option any](f func(Option) (Option, error)) func(Option) (Option, error) {
	return func(offer Option) (Option, error) {
		accepted, err := f(offer)
		if err != nil {
			var declined Option
			return declined, nil //nolint:nilerr // the client goes on without
		}
		return accepted, nil
	}
}
