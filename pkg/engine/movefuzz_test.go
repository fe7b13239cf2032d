package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// script is the owner's end of a stream: what it sends is fixed, what it gets is thrown away.
type script struct {
	net.Conn
	r io.Reader
}

func (s script) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s script) Write(p []byte) (int, error)      { return len(p), nil }
func (s script) CloseWrite() error                { return nil }
func (s script) Close() error                     { return nil }
func (s script) SetWriteDeadline(time.Time) error { return nil }

// chunk returns a chunk of the owner.
func chunk(kind byte, p string) string {
	return string(kind) + string(binary.AppendUvarint(nil, uint64(len(p)))) + p
}

// moved returns the chunk of a session that moves.
func moved(tb testing.TB, consumed uint64, e movedSession) string {
	tb.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	return chunk(chunkMoved, string(binary.AppendUvarint(nil, consumed))+string(b))
}

// FuzzMoved lets the owner of a session send its relay whatever it may, the session itself included: the client gets what is in
// chunks for it, at most one session goes on here, and ends with the client.
func FuzzMoved(f *testing.F) {
	whole := movedSession{
		ID: "sid", Remote: "1.2.3.4", Left: time.Second, Handler: []byte("state"),
		Out: []movedMessage{NewText([]byte("a")).moved(), NewBinary([]byte{1, 2}).moved(), pingPacket.moved()},
	}
	f.Add([]byte(chunk(chunkData, "\x81\x063probe")+moved(f, 3, whole)), []byte("\x81\x80\x00behind"))
	f.Add([]byte(moved(f, 0, movedSession{ID: "x", Awaiting: true, Left: -1 << 62, Out: []movedMessage{{Kind: 200, Data: []byte("x")}}})), []byte(nil))
	f.Add([]byte(chunk(chunkData, "")+"s"+"plain bytes"), []byte("more"))
	f.Add([]byte(moved(f, 99, whole)+"late"), []byte("few"))
	f.Add([]byte(chunk('?', "x")), []byte(nil))
	f.Add([]byte(chunk(chunkMoved, "\x00{}")), []byte(nil))
	f.Add([]byte("m\xff\xff\xff\x1f"+strings.Repeat("x", 100)), []byte(nil))
	adopted := 0
	cfg := Config{Adopt: func(_ *Session, state []byte) (Handler, error) {
		if bytes.Equal(state, []byte("no")) {
			return nil, errors.New("no")
		}
		adopted++
		return &recorder{}, nil
	}}
	e := newServer(f, cfg, options{})
	f.Cleanup(e.close)
	f.Fuzz(func(t *testing.T, owner, kept []byte) {
		adopted = 0
		client, theirs := net.Pipe()
		got := make(chan []byte, 1)
		go func() { // received below
			b, _ := io.ReadAll(client) // what has come is looked at
			got <- b
		}()
		p := &relayPipe{srv: e.srv, client: theirs, owner: script{r: bytes.NewReader(owner)}, decided: make(chan struct{}), kept: kept}
		p.run()
		before := adopted
		_ = client.Close() // the end of whatever session there is
		data := <-got
		for start := time.Now(); e.srv.ClientsCount() > 0; {
			if time.Since(start) > 10*time.Second {
				t.Fatal("the session outlives its client")
			}
		}
		if before > 1 || adopted != before {
			t.Errorf("%d sessions", adopted)
		}
		if before == 0 && len(data) > len(owner) {
			t.Errorf("the client got %d bytes of %d", len(data), len(owner))
		}
	})
}
