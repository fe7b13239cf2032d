// Package wire is the bytes of the mesh: records, the frames they travel in, and the bodies that are on the hot path. Pure:
// bytes in, values out; decoding returns views and allocates nothing. Start at kinds.go, then record.go and frame.go.
package wire

import "github.com/siomesh/siomesh/internal/mesh"

// SocketAddr names a socket inside the mesh: the edge that holds it, the slot there, and how often that slot was used. It
// dies with the connection; the public socket id survives recovery and is never used between services.
type SocketAddr struct {
	Edge       mesh.InstanceID
	Slot       uint32
	Generation uint32
}

// Fragment is the place of a record in a larger one that was split to fit the bus. Count 0 means not split.
type Fragment struct{ Index, Count uint32 }

// Record is one unit that travels a link. Byte slices of a decoded record are views of the frame.
//
// On the wire:
//
//	kind u8 | flags u8 | fields uvarint | the present fields in the order of their bit | body uvarint length, bytes
//
// A field is present when its bit is set in fields; its zero value is never written, with one exception: Partition stands
// with every Op, also when it is 0. Numbers are uvarints, byte strings are uvarint length and bytes, a socket is edge (10
// bytes), slot and generation, an origin 10 bytes, a fragment index and count. Fields of the bits above the known ones are
// byte strings, so that they can be skipped: they are refused unless the record is skippable.
type Record struct {
	Kind  Kind
	Flags Flags

	Socket         SocketAddr      // bit 0: the socket meant
	Namespace      []byte          // bit 1: with its leading slash
	Seq            uint64          // bit 2: position among the records of this (socket, app), given by the edge, from 1
	Handled        uint64          // bit 3: highest Seq whose handler has returned
	Epoch          uint32          // bit 4: of this (socket, app) assignment
	Origin         mesh.InstanceID // bit 5: the app instance that made the operation
	Partition      uint8           // bit 6, with Op: the namespace's partition
	PartitionEpoch uint32          // bit 7: of the partition's owner
	Op             uint64          // bit 8: number of the operation among its origin's for this partition, from 1
	Ack            uint64          // bit 9: acknowledgement request: allocated by the app on KindEmit, echoed on KindReply and KindAckFailed
	ID             []byte          // bit 10: acknowledgement id of the client's event, its digits as written
	Fragment       Fragment        // bit 11
	Offset         []byte          // bit 12: recovery offset
	Lease          uint64          // bit 13: the edge's lease number
	Ext            []byte          // bit 14: extensions, see ext.go; unknown ones are passed on

	Body []byte
}
