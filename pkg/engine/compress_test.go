package engine

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// getWith makes a GET of the session that accepts the given codings.
func (c *poller) getWith(accept string) response {
	c.e.tb.Helper()
	return c.e.do(c.e.tb.Context(), http.MethodGet, "transport=polling&sid="+c.sid, "", "Accept-Encoding", accept)
}

// decoded undoes a content coding.
func decoded(tb testing.TB, coding, body string) string {
	tb.Helper()
	var r io.Reader = strings.NewReader(body)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "deflate":
		r, err = zlib.NewReader(r)
	}
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(r) // checks the sums
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// What is compressed, and how.
func TestPollingCompression(t *testing.T) {
	long, short := strings.Repeat("payload ", 128), strings.Repeat("x", 1022) // a payload is one byte longer
	plain := func(s string) *Message { return NewText([]byte(s)).NoCompress() }
	tests := []struct {
		name   string
		cfg    Config
		accept string
		msgs   []*Message
		coding string
	}{
		{"gzip by default", Config{}, "gzip, deflate", []*Message{text(long)}, "gzip"},                            // POL-025
		{"gzip preferred", Config{}, "deflate, gzip", []*Message{text(long)}, "gzip"},                             // POL-025
		{"exactly the threshold", Config{}, "gzip", []*Message{text(short + "x")}, "gzip"},                        // POL-025
		{"deflate alone", Config{}, "deflate", []*Message{text(long)}, "deflate"},                                 // POL-026
		{"gzip refused", Config{}, "gzip;q=0, *", []*Message{text(long)}, "deflate"},                              // POL-026
		{"deflate liked better", Config{}, "gzip;q=0.5, Deflate;Q=0.9", []*Message{text(long)}, "deflate"},        // POL-026
		{"everything", Config{HTTPCompressionThreshold: 1}, "gzip", []*Message{text("")}, "gzip"},                 // POL-027: 1 for all
		{"larger threshold", Config{HTTPCompressionThreshold: 5000}, "gzip", []*Message{text(long)}, ""},          // POL-027
		{"below the threshold", Config{}, "gzip", []*Message{text(short)}, ""},                                    // POL-028, POL-027: 0 for the default
		{"two below it", Config{}, "gzip", []*Message{text(short), text("x")}, "gzip"},                            // POL-028: of the payload
		{"disabled", Config{DisableHTTPCompression: true}, "gzip", []*Message{text(long)}, ""},                    // POL-029
		{"not for this message", Config{}, "gzip", []*Message{plain(long)}, ""},                                   // POL-030
		{"for none of these", Config{}, "gzip", []*Message{plain(long), plain(long)}, ""},                         // POL-030
		{"for one of these", Config{}, "gzip", []*Message{plain(long), text("x")}, "gzip"},                        // POL-030
		{"nothing accepted", Config{}, "identity", []*Message{text(long)}, ""},                                    // POL-025
		{"nonsense accepted", Config{}, "gzip;q=lots, br;q=, deflate;q=NaN, ,;", []*Message{text(long)}, ""},      // POL-025
		{"large", Config{}, "gzip", []*Message{text(strings.Repeat(long, 300)), NewBinary([]byte(long))}, "gzip"}, // POL-025
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnv(t, tt.cfg, options{})
			c := e.openPolling()
			if err := c.p.s.Send(tt.msgs...); err != nil {
				t.Fatal(err)
			}
			res := c.getWith(tt.accept)
			if got := res.header.Get("Content-Encoding"); got != tt.coding {
				t.Fatalf("content coding %q, want %q", got, tt.coding)
			}
			if got, want := decoded(t, tt.coding, res.body), string(appendPayload(nil, tt.msgs)); got != want {
				t.Errorf("decoded %d bytes, want the %d that were sent", len(got), len(want))
			}
			if got := res.header.Get("Content-Length"); got != fmt.Sprint(len(res.body)) {
				t.Errorf("content length %s, want %d", got, len(res.body))
			}
		})
	}
}

// A handshake's response is compressed like all others.
func TestHandshakeCompression(t *testing.T) {
	e := newEnv(t, Config{HTTPCompressionThreshold: 1}, options{})
	res := e.do(t.Context(), http.MethodGet, "transport=polling", "", "Accept-Encoding", "gzip")
	if got := res.header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("content coding %q, want gzip", got)
	}
	parseOpen(t, decoded(t, "gzip", res.body))
}

// POL-031: what follows a compressed payload happens once, be it that it is out or that the
// client goes away amid it.
func TestCompressedPollAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var drains, closes atomic.Int32
		e := newPipeEnv(t, Config{}, options{peer: func(p *peer) {
			p.s.Observe(&Observer{
				Drain: func() { drains.Add(1) },
				Close: func(Reason, error, []Packet) { closes.Add(1) },
			})
		}})
		c := e.openPolling()
		if err := c.p.s.Send(text(strings.Repeat("x", 5000))); err != nil {
			t.Fatal(err)
		}
		if res := c.getWith("gzip"); res.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("headers %v, want gzip", res.header)
		}
		synctest.Wait()
		if n := drains.Load(); n != 2 { // POL-031, with that of the handshake
			t.Errorf("%d drains, want 2", n)
		}

		noise := make([]byte, 64<<10) // which stays more than a pipe takes
		_, _ = rand.Read(noise)       // never fails
		if err := c.p.s.Send(text(base64.StdEncoding.EncodeToString(noise))); err != nil {
			t.Fatal(err)
		}
		conn, err := e.dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", c.sid); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 1000) // it is under way
		if _, err := io.ReadFull(conn, head); err != nil || !bytes.Contains(head, []byte("Content-Encoding: gzip")) {
			t.Fatalf("got %q, %v", head, err)
		}
		_ = conn.Close()
		c.p.waitClosed(TransportError)
		synctest.Wait()
		if d, n := drains.Load(), closes.Load(); d != 2 || n != 1 { // POL-031
			t.Errorf("%d drains and %d ends, want 2 and 1", d, n)
		}
		c.wantGone()
	})
}

// No more compressors than processors are at work, and none is broken by another's data.
func TestCompressorIsShared(t *testing.T) {
	z := newCompressor()
	done := make(chan error)
	for i := range 32 {
		go func() { // waited for below
			data := bytes.Repeat([]byte{byte(i)}, 4000+i)
			b, err := z.message([]byte("kept"), data)
			if err == nil {
				b, err = z.inflate(nil, b[len("kept"):], 1<<20)
			}
			if err == nil && !bytes.Equal(b, data) {
				err = fmt.Errorf("message %d came back as %d bytes", i, len(b))
			}
			done <- err
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A message that inflates beyond the limit is given up at the limit.
func TestInflateIsBounded(t *testing.T) {
	z := newCompressor()
	bomb, err := z.message(nil, make([]byte, 8<<20))
	if err != nil {
		t.Fatal(err)
	}
	var stats [2]uint64
	stats[0] = allocated()
	if _, err := z.inflate(nil, bomb, 1000); !errors.Is(err, errMessageTooBig) {
		t.Errorf("8 MiB under a limit of 1000: %v, want errMessageTooBig", err)
	}
	stats[1] = allocated()
	if n := stats[1] - stats[0]; n > 1<<20 {
		t.Errorf("%d bytes allocated on the way", n)
	}
	for _, limit := range []int64{8 << 20, 8<<20 - 1} {
		b, err := z.inflate(nil, bomb, limit)
		if fits := limit == 8<<20; (err == nil) != fits || fits && len(b) != 8<<20 {
			t.Errorf("limit %d: %d bytes, %v", limit, len(b), err)
		}
	}
}

// Messages that come compressed leave next to nothing to collect.
func TestInflateReusesMemory(t *testing.T) {
	z, out := newCompressor(), make([]byte, 0, bufferSize)
	m, err := z.message(nil, []byte(strings.Repeat("payload ", 200)))
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 200
	before := allocated()
	for range rounds {
		if b, err := z.inflate(out, m, 1e6); err != nil || len(b) != 1600 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	// The race detector makes pools forget, but not each time.
	if n := (allocated() - before) / rounds; n > 20<<10 {
		t.Errorf("%d bytes allocated for each message", n)
	}
}

func FuzzInflate(f *testing.F) {
	z := newCompressor()
	for _, s := range []string{"", "x", strings.Repeat("payload ", 200)} {
		b, err := z.message(nil, []byte(s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x01\x01\x00\xfe\xffx")) // a last block
	f.Add([]byte("\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		out, err := z.inflate(nil, b, limit)
		if err != nil {
			if !errors.Is(err, errMessageTooBig) && !errors.Is(err, errNotDeflate) {
				t.Errorf("error %v is not one that has a close code", err)
			}
			return
		}
		if len(out) > limit {
			t.Fatalf("%d bytes, limit %d", len(out), limit)
		}
		again, err := z.message(nil, out)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := z.inflate(nil, again, limit); err != nil || !bytes.Equal(back, out) {
			t.Errorf("%q came back as %q, %v", out, back, err)
		}
	})
}

func FuzzAcceptedCoding(f *testing.F) {
	for _, s := range []string{"", "gzip", "deflate;q=0.5, gzip;q=0", "*", "*;q=0", "gzip;q=NaN", "gzip;;q==1,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := acceptedCoding([]string{accept})
		if got != "" && !strings.Contains(strings.ToLower(accept), got) && !strings.Contains(accept, "*") {
			t.Errorf("%q got %q, which it does not name", accept, got)
		}
	})
}
