package wire

import (
	"math"

	"github.com/siomesh/siomesh/internal/mesh"
)

// Parse reads one record from the start of b into r, which it overwrites, and returns what follows it. The byte slices of r
// become views of b. A record of an unknown kind passes only if it is skippable: see Kind.Known.
func (r *Record) Parse(b []byte) (rest []byte, err error) {
	*r = Record{}
	if len(b) < 3 {
		return nil, malformed("record header")
	}
	r.Kind, r.Flags = Kind(b[0]), Flags(b[1])
	if !r.Kind.Known() && r.Flags&FlagSkippable == 0 {
		return nil, malformed("record of an unknown kind")
	}
	p := parser{rest: b[2:]}
	fields := p.number(math.MaxUint64)
	p.addressing(r, fields)
	if fields >= hasAck {
		p.rare(r, fields)
	}
	body, rest, ok := block(p.rest)
	if p.failed != "" || !ok {
		return nil, malformed("record " + p.failed)
	}
	if fields&hasPartition == 0 && fields&hasOp != 0 || fields&(hasPartition|hasOp) == hasPartition && r.Partition == 0 {
		return nil, malformed("record partition")
	}
	r.Body = body
	return rest, nil
}

// parser reads fields off rest; after the first failure, which it remembers, it reads nothing.
type parser struct {
	rest   []byte
	failed string
}

func (p *parser) addressing(r *Record, fields uint64) {
	if fields&hasSocket != 0 {
		r.Socket.Edge = p.instance()
		r.Socket.Slot = uint32(p.number(math.MaxUint32))
		r.Socket.Generation = uint32(p.number(math.MaxUint32))
	}
	if fields&hasNamespace != 0 {
		r.Namespace = p.bytes()
		if len(r.Namespace) > 0 && r.Namespace[0] != '/' {
			p.fail("namespace")
		}
	}
	if fields&hasSeq != 0 {
		r.Seq = p.positive(math.MaxUint64)
	}
	if fields&hasHandled != 0 {
		r.Handled = p.positive(math.MaxUint64)
	}
	if fields&hasEpoch != 0 {
		r.Epoch = uint32(p.positive(math.MaxUint32))
	}
	if fields&hasOrigin != 0 {
		r.Origin = p.instance()
	}
	if fields&hasPartition != 0 {
		r.Partition = uint8(p.number(mesh.Partitions - 1))
	}
	if fields&hasPartitionEpoch != 0 {
		r.PartitionEpoch = uint32(p.positive(math.MaxUint32))
	}
	if fields&hasOp != 0 {
		r.Op = p.positive(math.MaxUint64)
	}
}

func (p *parser) rare(r *Record, fields uint64) {
	if fields&hasAck != 0 {
		r.Ack = p.positive(math.MaxUint64)
	}
	if fields&hasID != 0 {
		r.ID = p.bytes()
		for _, c := range r.ID {
			if c < '0' || c > '9' {
				p.fail("acknowledgement id")
			}
		}
	}
	if fields&hasFragment != 0 {
		r.Fragment.Index = uint32(p.number(math.MaxUint32))
		r.Fragment.Count = uint32(p.positive(math.MaxUint32))
		if r.Fragment.Count < 2 || r.Fragment.Index >= r.Fragment.Count {
			p.fail("fragment")
		}
	}
	if fields&hasOffset != 0 {
		r.Offset = p.bytes()
	}
	if fields&hasLease != 0 {
		r.Lease = p.positive(math.MaxUint64)
	}
	if fields&hasExt != 0 {
		r.Ext = p.bytes()
		if !validExt(r.Ext) {
			p.fail("extensions")
		}
	}
	if fields > knownFields {
		p.unknown(r, fields)
	}
}

func (p *parser) unknown(r *Record, fields uint64) {
	if r.Flags&FlagSkippable == 0 {
		p.fail("field of an unknown kind")
	}
	for fields &^= knownFields; fields != 0; fields &= fields - 1 {
		p.bytes()
	}
}

func (p *parser) number(limit uint64) uint64 {
	v, rest, ok := uvarint(p.rest)
	if !ok || v > limit {
		p.fail("number")
		return 0
	}
	p.rest = rest
	return v
}

// positive reads a number that is not 0, because zero values are not written.
func (p *parser) positive(limit uint64) uint64 {
	v := p.number(limit)
	if v == 0 {
		p.fail("number")
	}
	return v
}

// bytes reads a byte string that is not empty.
func (p *parser) bytes() []byte {
	view, rest, ok := block(p.rest)
	if !ok || len(view) == 0 {
		p.fail("byte string")
		return nil
	}
	p.rest = rest
	return view
}

func (p *parser) instance() mesh.InstanceID {
	if len(p.rest) < mesh.InstanceIDLen {
		p.fail("instance id")
		return mesh.InstanceID{}
	}
	id := mesh.InstanceID(p.rest)
	if !id.Valid() {
		p.fail("instance id")
		return mesh.InstanceID{}
	}
	p.rest = p.rest[mesh.InstanceIDLen:]
	return id
}

// fail keeps the first failure. With nothing left, everything after it fails too.
func (p *parser) fail(what string) {
	if p.failed == "" {
		p.failed = what
	}
	p.rest = nil
}
