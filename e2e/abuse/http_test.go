package abuse_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// httpAttacks are those before, or without, a WebSocket.
func httpAttacks() []attack {
	return []attack{
		{"garbage instead of a request", 20, func(f *foe) error { return f.left(noise(4096)) }},
		{"half a request, then nothing", 5, func(f *foe) error { return f.left("GET /socket.io/?EIO=4&tr") }},
		{"nothing at all", 20, func(f *foe) error { return f.left("") }},
		{"headers a byte at a time", 10, slowHeaders},
		{"headers of a megabyte", 10, func(f *foe) error {
			return f.tooLarge("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n")
		}},
		{"twenty thousand headers", 5, func(f *foe) error {
			return f.tooLarge("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 20_000) + "\r\n")
		}},
		{"queries that mean nothing", 10, badQueries},
		{"a body that does not come", 10, bodyThatDoesNotCome},
		{"a body longer than allowed", 5, func(f *foe) error { return f.posted(413, "Content-Length: 100000000\r\n", "4a") }},
		{"chunks without end", 5, func(f *foe) error {
			chunk := "10000\r\n" + strings.Repeat("4", 1<<16) + "\r\n"
			return f.posted(413, "Transfer-Encoding: chunked\r\n", strings.Repeat(chunk, 2*maxMessage>>16))
		}},
		{"a payload of separators", 5, func(f *foe) error {
			return f.posted(400, "Content-Length: 100000\r\n", strings.Repeat("\x1e", 100_000))
		}},
		{"two GETs at a time", 20, func(f *foe) error { return f.twice(func(sid string) string { return get("&sid=" + sid) }) }},
		{"two POSTs at a time", 20, func(f *foe) error {
			return f.twice(func(sid string) string { return post(sid, "Content-Length: 10\r\n", "4") })
		}},
		{"sessions that join nothing", 50, func(f *foe) error { return f.closing(get) }},
	}
}

// noise is n bytes that mean nothing.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.UintN(256)) //nolint:gosec // noise
	}
	return string(b)
}

// left says something and waits for the server to end the connection.
func (f *foe) left(what string) error {
	c, err := f.say(what)
	if err != nil {
		return err
	}
	return c.ended()
}

// tooLarge says exactly as much of a header as the server reads, 4096 bytes more than its limit, and takes the answer before it
// goes on: what the server has not read when it closes could take the answer away again.
func (f *foe) tooLarge(header string) error {
	const readable = maxHeader + 4096
	c, err := f.say(header[:readable])
	if err != nil {
		return err
	}
	if err := c.answered(http.StatusRequestHeaderFieldsTooLarge); err != nil {
		return err
	}
	c.say(header[readable:])
	return c.ended()
}

func slowHeaders(f *foe) error {
	c, err := f.say("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nX-A: ")
	if err != nil {
		return err
	}
	tick := time.NewTicker(headerTimeout / 10)
	defer tick.Stop()
	for end := time.Now().Add(allowed); time.Now().Before(end); <-tick.C {
		if _, err := c.Write([]byte("a")); err != nil {
			return nil
		}
	}
	return errors.New("the connection is open")
}

func badQueries(f *foe) error {
	for request, status := range map[string]int{
		"GET /socket.io/?EIO=9&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n": 400,
		get("&sid=" + noiseID()): 400,
		"GET /socket.io/?EIO=4&transport=__proto__ HTTP/1.1\r\nHost: x\r\n\r\n":                                              400,
		"DELETE /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n":                                             400,
		"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\r\n":                                              400,
		"GET /socket.io/?" + strings.Repeat("a=%ff&", 5000) + " HTTP/1.1\r\nHost: x\r\n\r\n":                                 400,
		"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n": 400,
	} {
		c, err := f.say(request)
		if err != nil {
			return err
		}
		if err := c.answered(status); err != nil {
			return fmt.Errorf("%.60q: %w", request, err)
		}
	}
	return nil
}

func noiseID() string { return fmt.Sprintf("%020d", rand.Uint64()) } //nolint:gosec // noise

// bodyThatDoesNotCome ends with the session, which joins nothing in time.
func bodyThatDoesNotCome(f *foe) error {
	return f.closing(func(query string) string {
		return post(strings.TrimPrefix(query, "&sid="), "Content-Length: 1000\r\n", "4half")
	})
}

// closing opens a session and makes a request that ends with the session; then it takes the close packet.
func (f *foe) closing(request func(query string) string) error {
	sid, err := f.polling()
	if err != nil {
		return err
	}
	c, err := f.say(request("&sid=" + sid))
	if err != nil {
		return err
	}
	status, body, _ := c.status()
	if status == 200 && strings.HasSuffix(body, "1") {
		return nil
	}
	return f.farewell(sid)
}

// farewell takes the close packet of a session, which comes with the connect timeout.
func (f *foe) farewell(sid string) error {
	c, err := f.say(get("&sid=" + sid))
	if err != nil {
		return err
	}
	if status, body, err := c.status(); status != 200 || !strings.HasSuffix(body, "1") {
		return fmt.Errorf("got status %d %.80q, %w, want a close packet", status, body, err)
	}
	return nil
}

// posted posts to a session and wants a status; after 413 the session goes on, until the connect timeout.
func (f *foe) posted(status int, headers, body string) error {
	sid, err := f.polling()
	if err != nil {
		return err
	}
	c, err := f.say(post(sid, headers, body))
	if err != nil {
		return err
	}
	if err := c.answered(status); err != nil || status != 413 {
		return err
	}
	return f.farewell(sid)
}

// twice makes a request that has to wait two times: the session must not survive it.
func (f *foe) twice(request func(sid string) string) error {
	sid, err := f.polling()
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := f.say(request(sid)); err != nil {
			return err
		}
	}
	for end := time.Now().Add(allowed); time.Now().Before(end); {
		c, err := f.say(post(sid, "Content-Length: 1\r\n", "6"))
		if err != nil {
			return err
		}
		if c.answered(400) == nil {
			return nil
		}
	}
	return errors.New("the session is there")
}
