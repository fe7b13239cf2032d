package wire

import (
	"encoding/binary"

	"github.com/siomesh/siomesh/internal/mesh"
)

// The bits of the fields that a record may have.
const (
	hasSocket = 1 << iota
	hasNamespace
	hasSeq
	hasHandled
	hasEpoch
	hasOrigin
	hasPartition
	hasPartitionEpoch
	hasOp
	hasAck
	hasID
	hasFragment
	hasOffset
	hasLease
	hasExt

	knownFields = 1<<iota - 1
)

// fixedSize is the most that a record takes besides the bytes of its byte strings: kind, flags and fields, a socket, an
// origin, ten numbers and five lengths.
const fixedSize = 2 + 3 + (mesh.InstanceIDLen + 2*maxUvarint) + mesh.InstanceIDLen + 10*maxUvarint + 5*maxUvarint

// MaxSize returns a size in bytes that the encoded record does not exceed; it is at most about 200 above.
func (r *Record) MaxSize() int {
	return fixedSize + len(r.Namespace) + len(r.ID) + len(r.Offset) + len(r.Ext) + len(r.Body)
}

// Size returns the exact size in bytes of the encoded record; MaxSize is cheaper.
func (r *Record) Size() int {
	head := *r
	head.Body = nil
	var buffer [fixedSize + 64]byte
	return len(head.Append(buffer[:0])) + uvarintLen(uint64(len(r.Body))) - 1 + len(r.Body)
}

// Append appends the encoded record to dst. It trusts the caller: ids must be valid, a Namespace begins with a slash, an ID
// is digits, a Fragment has a Count of at least 2; the receiver refuses anything else.
func (r *Record) Append(dst []byte) []byte {
	fields := r.fields()
	dst = append(dst, byte(r.Kind), byte(r.Flags))
	dst = binary.AppendUvarint(dst, fields)
	if fields&hasSocket != 0 {
		dst = append(dst, r.Socket.Edge[:]...)
		dst = binary.AppendUvarint(dst, uint64(r.Socket.Slot))
		dst = binary.AppendUvarint(dst, uint64(r.Socket.Generation))
	}
	if fields&hasNamespace != 0 {
		dst = appendBlock(dst, r.Namespace)
	}
	if fields&hasSeq != 0 {
		dst = binary.AppendUvarint(dst, r.Seq)
	}
	if fields&hasHandled != 0 {
		dst = binary.AppendUvarint(dst, r.Handled)
	}
	if fields&hasEpoch != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.Epoch))
	}
	if fields&hasOrigin != 0 {
		dst = append(dst, r.Origin[:]...)
	}
	if fields&hasPartition != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.Partition))
	}
	if fields&hasPartitionEpoch != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.PartitionEpoch))
	}
	if fields&hasOp != 0 {
		dst = binary.AppendUvarint(dst, r.Op)
	}
	if fields >= hasAck {
		dst = r.appendRare(dst, fields)
	}
	return appendBlock(dst, r.Body)
}

func (r *Record) appendRare(dst []byte, fields uint64) []byte {
	if fields&hasAck != 0 {
		dst = binary.AppendUvarint(dst, r.Ack)
	}
	if fields&hasID != 0 {
		dst = appendBlock(dst, r.ID)
	}
	if fields&hasFragment != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.Fragment.Index))
		dst = binary.AppendUvarint(dst, uint64(r.Fragment.Count))
	}
	if fields&hasOffset != 0 {
		dst = appendBlock(dst, r.Offset)
	}
	if fields&hasLease != 0 {
		dst = binary.AppendUvarint(dst, r.Lease)
	}
	if fields&hasExt != 0 {
		dst = appendBlock(dst, r.Ext)
	}
	return dst
}

func (r *Record) fields() uint64 {
	fields := present(r.Socket != SocketAddr{}, hasSocket) |
		present(len(r.Namespace) > 0, hasNamespace) |
		present(r.Seq != 0, hasSeq) |
		present(r.Handled != 0, hasHandled) |
		present(r.Epoch != 0, hasEpoch) |
		present(!r.Origin.IsZero(), hasOrigin) |
		present(r.Partition != 0 || r.Op != 0, hasPartition) |
		present(r.PartitionEpoch != 0, hasPartitionEpoch) |
		present(r.Op != 0, hasOp) |
		present(r.Ack != 0, hasAck) |
		present(len(r.ID) > 0, hasID)
	if r.Fragment.Count != 0 || len(r.Offset) > 0 || r.Lease != 0 || len(r.Ext) > 0 {
		fields |= present(r.Fragment.Count != 0, hasFragment) |
			present(len(r.Offset) > 0, hasOffset) |
			present(r.Lease != 0, hasLease) |
			present(len(r.Ext) > 0, hasExt)
	}
	return fields
}

func present(is bool, bit uint64) uint64 {
	if is {
		return bit
	}
	return 0
}
