package cluster_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
	"github.com/siomesh/siomesh/pkg/socketio"
	"github.com/siomesh/siomesh/services/api"
)

// outside is a program that knows NATS alone.
type outside struct {
	tb testing.TB
	nc *nats.Conn
}

// serveAPI runs instances of the API service beside a cluster.
func (c *cluster) serveAPI(instances int) *outside {
	c.tb.Helper()
	url := natstest.Run(c.tb)
	for range instances {
		over, err := bus.Dial(c.tb.Context(), url, bus.NATSOptions{Name: "api"})
		if err != nil {
			c.tb.Fatal(err)
		}
		c.tb.Cleanup(over.Close)
		s, err := api.New(c.bus, over, mesh.Subjects{}, slog.New(slog.DiscardHandler), api.Config{Timeout: patience})
		if err != nil {
			c.tb.Fatal(err)
		}
		c.run(s.Run)
		eventually(c.tb, "the API is healthy", s.Healthy)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(nc.Close)
	return &outside{tb: c.tb, nc: nc}
}

// ask makes a request and returns the answer.
func (o *outside) ask(verb, request string) *nats.Msg {
	o.tb.Helper()
	m, err := o.nc.Request("sio.v1.api."+verb, []byte(request), patience)
	if err != nil {
		o.tb.Fatalf("%s %.200s: %v", verb, request, err)
	}
	return m
}

// do is ask that expects an answer.
func (o *outside) do(verb, request, want string) {
	o.tb.Helper()
	if m := o.ask(verb, request); string(m.Data) != want || len(m.Header) != 0 {
		o.tb.Errorf("%s %.200s: got %s %v, want %s", verb, request, m.Data, m.Header, want)
	}
}

// selections are the ways of a request to name whom it is about, with who that is of six clients: the first two are in a, the
// third is in b, and the fifth and sixth are in a and b.
func selections(ids []string) map[string][]int {
	return map[string][]int{
		`"namespace":"/"`:                               {0, 1, 2, 3, 4, 5},
		`"rooms":["a"]`:                                 {0, 1, 4, 5},
		`"rooms":["a","b"]`:                             {0, 1, 2, 4, 5},
		`"rooms":["a"],"except":["b"]`:                  {0, 1},
		fmt.Sprintf(`"ids":[%q]`, ids[3]):               {3},
		fmt.Sprintf(`"ids":[%q],"rooms":["b"]`, ids[3]): {2, 3, 4, 5},
		fmt.Sprintf(`"except":["a",%q]`, ids[3]):        {2},
	}
}

func TestAPIEmit(t *testing.T) {
	t.Parallel()
	play(t, func(io *socketio.Server) {
		_ = io.Of("/ü n>.*").OnConnection(func(*socketio.Socket) {})
	}, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		o := c.serveAPI(2)
		ids := inRooms(o, clients)
		n := 0
		for who, want := range selections(ids) {
			n++
			o.do("emit", fmt.Sprintf(`{%s,"event":"e","args":[%d,{"z":1,"a":[{"$binary":"AQ=="}]},{"$binary":"Ag=="},"<é>"]}`, who, n), `{}`)
			for i, k := range clients { // EMI-001
				if slices.Contains(want, i) {
					k.expect(fmt.Sprintf(`452-["e",%d,{"z":1,"a":[{"_placeholder":true,"num":0}]},{"_placeholder":true,"num":1},"<é>"]`, n), "\x01", "\x02")
				}
			}
		}
		// Whoever got more, or none, gets this behind it.
		other := c.join("/\u00fc n>.*")
		o.do("emit", `{"namespace":"/\u00fc n>.*","event":"there"}`, `{}`) // EMI-001
		other.expect(other.prefix("42") + `["there"]`)
		long := strings.Repeat("long ", 20_000)
		o.do("join", fmt.Sprintf(`{"ids":[%q],"join":["*",">","a.>","",%q]}`, ids[0], long), `{}`)
		for _, name := range []string{"*", ">", "a.>", "", long} {
			raw, _ := json.Marshal(name) //nolint:errchkjson // a string
			o.do("emit", fmt.Sprintf(`{"rooms":[%s],"event":"🙂 a.b","args":null,"volatile":false,"compress":false}`, raw), `{}`)
			clients[0].expect(`42["🙂 a.b"]`)
		}
		o.do("emit", `{"event":"end"}`, `{}`)
		for _, k := range clients {
			k.expect(`42["end"]`)
		}
	})
}

// inRooms puts the clients into the rooms that selections speaks of, and returns their ids.
func inRooms(o *outside, clients []*client) (ids []string) {
	for _, k := range clients {
		ids = append(ids, k.id)
	}
	list := func(of ...int) string {
		var some []string
		for _, i := range of {
			some = append(some, ids[i])
		}
		raw, _ := json.Marshal(some) //nolint:errchkjson // strings
		return string(raw)
	}
	o.do("join", `{"ids":`+list(0, 1, 4, 5)+`,"join":["a"]}`, `{}`) // EMI-002: by id
	o.do("join", `{"ids":`+list(2, 4, 5)+`,"join":["b"]}`, `{}`)
	return ids
}

func TestAPIChanges(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		o := c.serveAPI(2)
		ids := inRooms(o, clients)
		for who, want := range selections(ids) {
			o.do("count", "{"+who+"}", fmt.Sprintf(`{"count":%d}`, len(want)))
			o.do("join", "{"+who+`,"join":["x","y"]}`, `{}`) // EMI-002: all, by room, by id
			o.do("count", `{"rooms":["x"]}`, fmt.Sprintf(`{"count":%d}`, len(want)))
			o.do("leave", "{"+who+`,"leave":["y"]}`, `{}`) // EMI-002
			o.do("count", `{"rooms":["x"],"except":["y"]}`, fmt.Sprintf(`{"count":%d}`, len(want)))
			o.do("leave", `{"leave":["x","y"]}`, `{}`)
		}
		o.do("count", "", `{"count":6}`)
		o.do("disconnect", fmt.Sprintf(`{"ids":[%q]}`, ids[0]), `{}`)
		clients[0].expect("41") // EMI-003: stock clients call it "io server disconnect"
		o.do("disconnect", `{"rooms":["b"],"close":true}`, `{}`)
		for _, i := range []int{2, 4, 5} {
			clients[i].expect("41", "closed") // EMI-003
		}
		eventually(t, "two are left", func() bool { return string(o.ask("count", "{}").Data) == `{"count":2}` })
	})
}

func TestAPIFetch(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		o := c.serveAPI(1)
		ids := inRooms(o, clients)
		type answer struct {
			Sockets []struct {
				ID        string
				Rooms     []string
				Data      map[string]any
				Handshake *struct {
					Headers, Query map[string]string
					Issued         int64
				}
			}
			Truncated   bool
			Unreachable []string
		}
		fetch := func(request string) (a answer) {
			m := o.ask("fetch", request)
			if err := json.Unmarshal(m.Data, &a); err != nil || len(m.Header) > 0 || a.Sockets == nil || a.Unreachable == nil {
				t.Errorf("%s: got %s, %v", request, m.Data, err)
			}
			return a
		}
		for who, want := range selections(ids) {
			var got, wanted []string
			for _, s := range fetch("{" + who + "}").Sockets {
				got = append(got, s.ID)
			}
			for _, i := range want {
				wanted = append(wanted, ids[i])
			}
			slices.Sort(got)
			slices.Sort(wanted)
			if !slices.Equal(got, wanted) {
				t.Errorf("%s: got %v, want %v", who, got, wanted)
			}
		}
		for _, limit := range []int{1, 5, 6, 1000} {
			a := fetch(fmt.Sprintf(`{"limit":%d,"fields":[]}`, limit))
			if len(a.Sockets) != min(limit, 6) || a.Truncated != (limit < 6) || a.Sockets[0].Data != nil || a.Sockets[0].Handshake != nil {
				t.Errorf("limit %d: got %+v", limit, a)
			}
		}
		one := fetch(fmt.Sprintf(`{"ids":[%q],"fields":["handshake","rooms","data"]}`, ids[4])).Sockets
		if len(one) != 1 || one[0].Handshake == nil || one[0].Handshake.Query["EIO"] != "4" || one[0].Handshake.Headers["upgrade"] == "" ||
			one[0].Handshake.Issued == 0 || !slices.Equal(one[0].Rooms, []string{ids[4], "a", "b"}) {
			t.Errorf("got %+v", one)
		}
		// More than an answer holds: as many as fit.
		large := c.setLarge(400_000)
		if a := fetch(`{}`); len(a.Sockets) != 2 || !a.Truncated || a.Sockets[0].Data["large"] != large {
			t.Errorf("got %d sockets, truncated %v", len(a.Sockets), a.Truncated)
		}
	})
}

func TestAPIAcknowledgements(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, sorted []string) {
		o := c.serveAPI(1)
		type answer struct {
			Replies []struct {
				ID    string
				Reply json.RawMessage
			}
			Missing   []string
			Reason    string
			Truncated bool
		}
		emit := func(request string, during func()) (a answer) {
			answered := make(chan *nats.Msg, 1)
			go func() { answered <- o.ask("emit", request) }() // received below
			during()
			m := <-answered
			if err := json.Unmarshal(m.Data, &a); err != nil || len(m.Header) > 0 {
				t.Errorf("%s: got %s, %v", request, m.Data, err)
			}
			return a
		}
		a := emit(`{"event":"who","ack":true}`, func() {
			for _, k := range clients {
				k.answer(k.question("who"), fmt.Sprintf(`{"z":%q,"a":1.50},2`, k.id))
			}
		})
		var got []string
		for _, r := range a.Replies {
			if want := fmt.Sprintf(`{"z":%q,"a":1.50}`, r.ID); string(r.Reply) != want {
				t.Errorf("got %s, want %s", r.Reply, want)
			}
			got = append(got, r.ID)
		}
		if slices.Sort(got); !slices.Equal(got, sorted) || len(a.Missing) > 0 || a.Reason != "" {
			t.Errorf("got %+v, want replies of %v", a, sorted)
		}
		k := clients[0]
		to := fmt.Sprintf(`"ids":[%q]`, k.id)
		a = emit(`{"event":"file","ack":true,`+to+`}`, func() {
			k.send(fmt.Sprintf(`462-%d[{"a":{"_placeholder":true,"num":1},"b":["{\"",{"_placeholder":true,"num":0}]}]`, k.question("file")))
			k.binary("\x01")
			k.binary("\x02")
		})
		if want := `{"a":{"$binary":"Ag=="},"b":["{\"",{"$binary":"AQ=="}]}`; len(a.Replies) != 1 || string(a.Replies[0].Reply) != want {
			t.Errorf("got %+v, want %s", a, want)
		}
		a = emit(`{"event":"silence","ack":true,"timeout":4000,`+to+`}`, func() { k.question("silence") })
		if len(a.Replies) != 0 || !slices.Equal(a.Missing, []string{k.id}) || a.Reason != "timeout" {
			t.Errorf("got %+v, want %s missing", a, k.id)
		}
		a = emit(`{"event":"empty","ack":true,`+to+`}`, func() { k.answer(k.question("empty"), "") })
		if len(a.Replies) != 1 || a.Replies[0].Reply != nil {
			t.Errorf("got %+v, want an empty reply", a)
		}
		o.do("emit", `{"event":"e","ack":true,"rooms":["nobody"]}`, `{"replies":[],"missing":[],"truncated":false}`)
		a = emit(`{"event":"bye","ack":true,`+to+`}`, func() { k.question("bye"); k.conn.Close() })
		if len(a.Missing) != 1 || a.Reason != "disconnected" {
			t.Errorf("got %+v, want %s disconnected", a, k.id)
		}
	})
}
