package presence

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// A heartbeat is one siomesh.v1.Presence in protobuf on
//
//	sio.v1.presence.<kind>.<name>     name = the app's name, or the kind again
//
// and nothing on sio.v1.presence.who, which asks everybody for one.

// errHeartbeat says that a message is no heartbeat of this contract.
var errHeartbeat = errors.New("malformed heartbeat")

// formatVersion is the version of records and frames that this code reads and writes, unless describe says otherwise.
const formatVersion = 1

// heartbeat is a valid one: from is what info says in the mesh's own types.
type heartbeat struct {
	from mesh.Address
	info *siomeshv1.Presence
}

// decodeHeartbeat reads and checks one message. Kind and name must be those of the subject, so that permissions on subjects
// are permissions to claim them.
func decodeHeartbeat(s mesh.Subjects, m bus.Msg) (*heartbeat, error) {
	info := new(siomeshv1.Presence)
	if err := proto.Unmarshal(m.Data, info); err != nil {
		return nil, fmt.Errorf("%w: %w", errHeartbeat, err)
	}
	id, err := mesh.ParseInstanceID(info.GetInstance())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHeartbeat, err)
	}
	from := mesh.Address{Kind: mesh.Kind(info.GetKind()), Instance: id}
	switch from.Kind {
	case mesh.KindApp:
		from.App = info.GetName()
		if err := mesh.ValidAppName(from.App); err != nil {
			return nil, fmt.Errorf("%w: %w", errHeartbeat, err)
		}
	case mesh.KindEdge, mesh.KindRooms, mesh.KindAuth:
		if info.GetName() != info.GetKind() {
			return nil, fmt.Errorf("%w: %s named %.40q", errHeartbeat, from.Kind, info.GetName())
		}
	default:
		return nil, fmt.Errorf("%w: kind %.40q", errHeartbeat, info.GetKind())
	}
	switch {
	case info.GetSequence() == 0:
		return nil, fmt.Errorf("%w: no sequence number", errHeartbeat)
	case info.GetMinVersion() == 0 || info.GetMaxVersion() < info.GetMinVersion():
		return nil, fmt.Errorf("%w: versions %d to %d", errHeartbeat, info.GetMinVersion(), info.GetMaxVersion())
	case m.Subject != s.Presence(from.Kind, info.GetName()):
		return nil, fmt.Errorf("%w: %s %.40q on subject %.80q", errHeartbeat, from.Kind, info.GetName(), m.Subject)
	}
	return &heartbeat{from: from, info: info}, nil
}

// encode returns the next heartbeat of this instance and its subject.
func (p *Peers) encode(sequence uint64, goodbye bool) (subject string, data []byte, err error) {
	info := &siomeshv1.Presence{MinVersion: formatVersion, MaxVersion: formatVersion}
	if p.describe != nil {
		p.describe(info)
	}
	info.Instance = p.self.Instance.String()
	info.Kind = string(p.self.Kind)
	info.Name = info.GetKind()
	if p.self.Kind == mesh.KindApp {
		info.Name = p.self.App
	}
	info.Sequence = sequence
	info.Goodbye = goodbye
	data, err = proto.Marshal(info)
	if err != nil {
		return "", nil, fmt.Errorf("encode heartbeat: %w", err)
	}
	return p.subjects.Presence(p.self.Kind, info.GetName()), data, nil
}
