package siotest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// open makes an Engine.IO session, and upgrades it if that is asked for.
func open(ctx context.Context, url string, o Options) (transport, error) {
	url += o.Path + "?EIO=4&transport="
	if o.Transport == "" || o.Transport == "websocket" {
		return openWebSocket(ctx, url+"websocket", o)
	}
	living, end := context.WithCancel(context.Background())
	p := &polling{url: url + "polling", o: o, living: living, end: end}
	first, err := p.read(ctx)
	if err != nil {
		end()
		return nil, err
	}
	var hello struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(first[0].text, "0")), &hello); err != nil || hello.SID == "" {
		end()
		return nil, fmt.Errorf("no open packet: %q", first[0].text)
	}
	p.url += "&sid=" + hello.SID
	if o.Transport == "polling" {
		return p, nil
	}
	defer end()
	return upgrade(ctx, url+"websocket&sid="+hello.SID, o)
}

// upgrade takes a session to a WebSocket.
func upgrade(ctx context.Context, url string, o Options) (transport, error) {
	w, err := dial(ctx, url, o)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	err = w.send(ctx, []frame{{text: "2probe"}})
	var got []frame
	if err == nil {
		got, err = w.read(ctx)
	}
	if err == nil && got[0].text != "3probe" {
		err = fmt.Errorf("the probe was answered %q", got[0].text)
	}
	if err == nil {
		err = w.send(ctx, []frame{{text: "5"}})
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	return w, w.conn.SetDeadline(time.Time{})
}

// polling is a session over long-polling.
type polling struct {
	url    string
	o      Options
	living context.Context //nolint:containedctx // ends requests under way when the client closes
	end    context.CancelFunc
	post   sync.Mutex // held during a POST: a second one meanwhile would end the session (POL-008)
}

func (p *polling) send(ctx context.Context, packets []frame) error {
	parts := make([]string, len(packets))
	for i, f := range packets {
		if parts[i] = f.text; f.binary != nil {
			parts[i] = "b" + base64.StdEncoding.EncodeToString(f.binary)
		}
	}
	p.post.Lock()
	defer p.post.Unlock()
	_, err := p.do(ctx, http.MethodPost, strings.Join(parts, "\x1e"))
	return err
}

func (p *polling) read(ctx context.Context) ([]frame, error) {
	body, err := p.do(ctx, http.MethodGet, "")
	if err != nil {
		return nil, err
	}
	var packets []frame
	for part := range strings.SplitSeq(body, "\x1e") {
		f := frame{text: part}
		if coded, ok := strings.CutPrefix(part, "b"); ok {
			if f.binary, err = base64.StdEncoding.DecodeString(coded); err != nil {
				return nil, fmt.Errorf("binary packet: %w", err)
			}
			f.text = ""
		}
		packets = append(packets, f)
	}
	return packets, nil
}

func (p *polling) close() {
	p.post.Lock()
	defer p.post.Unlock()
	if p.living.Err() == nil {
		ctx, cancel := context.WithTimeout(p.living, Patience)
		defer cancel()
		_, _ = p.do(ctx, http.MethodPost, "1") // the session may be gone
	}
	p.end()
}

func (p *polling) do(ctx context.Context, method, body string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.living, cancel)() //nolint:contextcheck // ends the request only
	r, err := http.NewRequestWithContext(ctx, method, p.url, strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	if p.o.Header != nil {
		r.Header = p.o.Header.Clone()
	}
	res, err := p.o.HTTP.Do(r)
	if err != nil {
		return "", err //nolint:wrapcheck // says it all
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return "", errors.Join(fmt.Errorf("%s: status %d: %s", method, res.StatusCode, text), err)
	}
	return string(text), nil
}

// socket is a WebSocket.
type socket struct {
	conn net.Conn
	in   io.Reader
	mu   sync.Mutex // writes
}

// openWebSocket opens a session of its own.
func openWebSocket(ctx context.Context, url string, o Options) (transport, error) {
	w, err := dial(ctx, url, o)
	if err != nil {
		return nil, err
	}
	if _, err := w.read(ctx); err != nil { // the open packet
		w.close()
		return nil, err
	}
	return w, w.conn.SetDeadline(time.Time{})
}

// dial makes a WebSocket whose reads and writes end with the deadline of ctx.
func dial(ctx context.Context, url string, o Options) (*socket, error) {
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(o.Header)}
	if t, ok := o.HTTP.Transport.(*http.Transport); ok && t.TLSClientConfig != nil {
		d.TLSConfig = &tls.Config{RootCAs: t.TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}
	}
	conn, buffered, _, err := d.Dial(ctx, "ws"+strings.TrimPrefix(url, "http"))
	if err != nil {
		return nil, err //nolint:wrapcheck // says it all
	}
	w := &socket{conn: conn, in: conn}
	if buffered != nil {
		w.in = io.MultiReader(buffered, conn)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails if it is closed, as the next read then
	}
	return w, nil
}

func (w *socket) send(_ context.Context, packets []frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all bytes.Buffer
	for _, f := range packets {
		m := ws.NewTextFrame([]byte(f.text))
		if f.binary != nil {
			m = ws.NewBinaryFrame(f.binary)
		}
		if err := ws.WriteFrame(&all, ws.MaskFrameInPlace(m)); err != nil {
			return err //nolint:wrapcheck // of a buffer
		}
	}
	_, err := w.conn.Write(all.Bytes())
	return err //nolint:wrapcheck // says it all
}

// Write answers control frames.
func (w *socket) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn.Write(p) //nolint:wrapcheck // says it all
}

func (w *socket) read(context.Context) ([]frame, error) {
	data, op, err := wsutil.ReadData(struct {
		io.Reader
		io.Writer
	}{w.in, w}, ws.StateClientSide)
	if err != nil {
		return nil, err //nolint:wrapcheck // says it all
	}
	if op == ws.OpBinary {
		return []frame{{binary: data}}, nil
	}
	return []frame{{text: string(data)}}, nil
}

func (w *socket) close() { _ = w.conn.Close() }
