package edge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/presence"
)

// TestRoomsLostIsLogged: somebody should look at rooms that fell silent, and need not at rooms that were stopped.
func TestRoomsLostIsLogged(t *testing.T) {
	for goodbye, level := range map[bool]string{true: "INFO", false: "WARN"} {
		var logged bytes.Buffer
		s, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.NewTextHandler(&logged, nil)), Config{})
		if err != nil {
			t.Fatal(err)
		}
		p := presence.Peer{
			Address: mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()},
			Info:    &siomeshv1.Presence{Partitions: []*siomeshv1.Partition{{Epoch: 1}}},
		}
		s.peerChanged(presence.Up, p)
		p.Info = &siomeshv1.Presence{Goodbye: goodbye}
		s.peerChanged(presence.Died, p)
		want := "level=" + level + ` msg="rooms instance lost"`
		if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
			t.Errorf("goodbye %v: logged %q, want %s", goodbye, got, want)
		}
	}
}
