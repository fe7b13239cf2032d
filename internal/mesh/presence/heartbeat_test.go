package presence

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// FuzzDecodeHeartbeat: whatever arrives is a heartbeat that fits its subject, or malformed.
func FuzzDecodeHeartbeat(f *testing.F) {
	for _, p := range []*siomeshv1.Presence{
		{Instance: "0123456789", Kind: "edge", Name: "edge", MinVersion: 1, MaxVersion: 1, Sequence: 1, Load: 9},
		{Instance: "abcdefghij", Kind: "app", Name: "chat", MinVersion: 1, MaxVersion: 2, Sequence: 7, Goodbye: true},
	} {
		data, err := proto.Marshal(p)
		if err != nil {
			f.Fatalf("marshal: %v", err)
		}
		f.Add("sio.v1.presence."+p.GetKind()+"."+p.GetName(), data)
	}
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		h, err := decodeHeartbeat(mesh.Subjects{}, bus.Msg{Subject: subject, Data: data})
		if err != nil {
			if !errors.Is(err, errHeartbeat) {
				t.Errorf("err = %v, want a malformed heartbeat", err)
			}
			return
		}
		name := string(h.from.Kind)
		if h.from.Kind == mesh.KindApp {
			name = h.from.App
		}
		if want := (mesh.Subjects{}).Presence(h.from.Kind, name); subject != want || !h.from.Instance.Valid() {
			t.Errorf("%+v accepted on %q", h.from, subject)
		}
	})
}
