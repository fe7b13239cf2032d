package freeport

import (
	"net"
	"net/netip"
	"testing"
)

// Each address is another one, in the range, and can be listened on, again and again.
func TestAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		address := Address(t)
		if seen[address] {
			t.Fatalf("%s came twice", address)
		}
		seen[address] = true
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if port := int(at.Port()); at.Addr() != netip.MustParseAddr("127.0.0.1") || port < firstPort || port >= firstPort+ports {
			t.Errorf("got %s, want a port of 127.0.0.1 from %d, below %d", address, firstPort, firstPort+ports)
		}
		for range 2 {
			ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			ln.Close()
		}
	}
}

// refusal notes that a test was failed.
type refusal struct{ failed bool }

func (*refusal) Helper()                 {}
func (r *refusal) Fatalf(string, ...any) { r.failed = true }

// Without a port left the test fails.
func TestNoneLeft(t *testing.T) {
	given.mu.Lock()
	before := given.taken
	given.taken = map[int]bool{}
	for port := firstPort; port < firstPort+ports; port++ {
		given.taken[port] = true
	}
	given.mu.Unlock()
	var r refusal
	if got := Address(&r); got != "" || !r.failed {
		t.Errorf("got %q, failed %v, want a failure", got, r.failed)
	}
	given.mu.Lock()
	given.taken = before
	given.mu.Unlock()
}
