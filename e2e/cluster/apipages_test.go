package cluster_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestAPIPages walks the sockets page by page, whose order is that of the ids, while others come and go.
func TestAPIPages(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		o := c.serveAPI(2)
		ids := inRooms(o, clients)
		type answer struct {
			Sockets   []struct{ ID string }
			Truncated bool
			Next      string
		}
		page := func(request string) (a answer) {
			t.Helper()
			m := o.ask("fetch", request)
			if err := json.Unmarshal(m.Data, &a); err != nil || len(m.Header) > 0 || a.Truncated != (a.Next != "") {
				t.Fatalf("%s: got %.200s, %v", request, m.Data, err)
			}
			return a
		}
		walk := func(limit int, between func()) (all []string) {
			t.Helper()
			for request := fmt.Sprintf(`{"limit":%d}`, limit); ; between() {
				a := page(request)
				for _, s := range a.Sockets {
					all = append(all, s.ID)
				}
				if !a.Truncated {
					return all
				}
				if len(a.Sockets) > limit || len(all) > 100 {
					t.Fatalf("limit %d: got %d sockets in a page, %d in all", limit, len(a.Sockets), len(all))
				}
				request = fmt.Sprintf(`{"limit":%d,"after":%q}`, limit, a.Next)
			}
		}
		sorted := slices.Sorted(slices.Values(ids))
		for _, limit := range []int{1, 2, 4, 5, 6, 7} {
			if got := walk(limit, func() {}); !slices.Equal(got, sorted) {
				t.Errorf("limit %d: got %v, want %v", limit, got, sorted)
			}
		}
		if got := page(`{"rooms":["a"],"after":` + fmt.Sprintf("%q", sorted[5]) + `}`); len(got.Sockets) != 0 {
			t.Errorf("got %+v behind the last", got)
		}
		o.do("join", fmt.Sprintf(`{"ids":[%q],"join":[%q]}`, ids[0], ids[1]), `{}`) // the name of a socket is a room like others
		newcomers := 3
		come := func() {
			if newcomers > 0 {
				newcomers--
				c.join("/")
			}
		}
		if got := walk(1, come); !contains(got, sorted) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("got %v, want all of %v, each once", got, sorted)
		}
		// Fewer than the limit, because of their size.
		c.setLarge(400_000)
		if got := walk(100, func() {}); !contains(got, sorted) || !slices.IsSorted(got) {
			t.Errorf("got %v, want all of %v", got, sorted)
		}
	})
}

// setLarge gives each socket data of that size, under the key large.
func (c *cluster) setLarge(size int) (large string) {
	c.tb.Helper()
	large = strings.Repeat("x", size)
	for _, io := range c.apps {
		for _, s := range io.Sockets() {
			if err := s.Data().Set("large", large); err != nil {
				c.tb.Fatal(err)
			}
		}
		if err := io.Flush(c.tb.Context()); err != nil {
			c.tb.Fatal(err)
		}
	}
	return large
}

// contains reports whether all of some are in a list.
func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(id string) bool { return !slices.Contains(all, id) })
}
