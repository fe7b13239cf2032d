package mesh_test

import (
	"strings"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
)

func TestPartition(t *testing.T) {
	for namespace, want := range map[string]uint8{
		// The published test vectors of FNV-1a: 0x811c9dc5, 0xe40c292c, 0xbf9cf968.
		"": 0x05, "a": 0x2c, "foobar": 0x28,
		// Computed apart from this code.
		"/": 30, "/chat": 32, "/admin": 61, "/dynamic-101": 30, "/é": 10, "/" + strings.Repeat("x", 100): 30,
	} {
		if got := mesh.Partition(namespace); got != want {
			t.Errorf("%.20q: got %d, want %d", namespace, got, want)
		}
	}
	var sum uint8
	if n := testing.AllocsPerRun(100, func() { sum += mesh.Partition("/chat") }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

func TestNewInstanceID(t *testing.T) {
	const ids = 20_000
	seen := make(map[mesh.InstanceID]bool, ids)
	var counts [256]int
	for range ids {
		id := mesh.NewInstanceID()
		if !id.Valid() || id.IsZero() || seen[id] {
			t.Fatalf("id %q: valid %v, zero %v, seen %v", id, id.Valid(), id.IsZero(), seen[id])
		}
		seen[id] = true
		for _, c := range id {
			counts[c]++
		}
	}
	// Each of the 62 characters is expected 3226 times with a standard deviation of 56.
	for _, c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		if n := counts[c]; n < 2800 || n > 3650 {
			t.Errorf("%c: %d of %d characters, want about %d", c, n, ids*mesh.InstanceIDLen, ids*mesh.InstanceIDLen/62)
		}
	}
}

func TestParseInstanceID(t *testing.T) {
	id := mesh.NewInstanceID()
	if got, err := mesh.ParseInstanceID(id.String()); err != nil || got != id {
		t.Errorf("got %q, error %v; want %q", got, err, id)
	}
	for _, text := range []string{"", "123456789", "12345678901", "12345.7890", "1234*67890", "12345678é", "123456789\x00", "12345-7890"} {
		if got, err := mesh.ParseInstanceID(text); err == nil || !got.IsZero() {
			t.Errorf("%q: got %q, error %v", text, got, err)
		}
	}
	var zero mesh.InstanceID
	if zero.Valid() || !zero.IsZero() || zero.String() != "" {
		t.Errorf("zero value: valid %v, zero %v, text %q", zero.Valid(), zero.IsZero(), zero)
	}
}

func TestValidAppName(t *testing.T) {
	for _, name := range []string{"a", "chat-2", "0", "-", strings.Repeat("a", 32)} {
		if err := mesh.ValidAppName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "Chat", "a.b", "a_b", "a ", "a\n", "*", ">", "é", strings.Repeat("a", 33)} {
		if err := mesh.ValidAppName(name); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
}
