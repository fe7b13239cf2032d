package wire

import (
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
)

var (
	edge1 = mesh.InstanceID([]byte("Edge000001"))
	app1  = mesh.InstanceID([]byte("App0000001"))
)

// records are the vectors of version 1; their bytes are in testdata/records.txt.
var records = []struct {
	name   string
	record Record
}{
	{"hello", Record{Kind: KindHello, Flags: FlagControl}},
	{"connect", Record{Kind: KindConnect, Socket: SocketAddr{edge1, 1, 1}, Namespace: []byte("/"), Seq: 1, Epoch: 1, Body: []byte("body")}},
	{"event", Record{
		Kind: KindEvent, Socket: SocketAddr{edge1, 300, 2}, Namespace: []byte("/chat"), Seq: 200, Epoch: 3,
		ID: []byte("42"), Body: []byte(`["say","hi"]`),
	}},
	{"redelivered", Record{Kind: KindEvent, Flags: FlagRedelivered, Socket: SocketAddr{edge1, 0, 0}, Seq: 2, Body: []byte("x")}},
	{"reply", Record{Kind: KindReply, Socket: SocketAddr{edge1, 9, 1}, Seq: 5, Ack: 77, Body: []byte(`[]`)}},
	{"emit", Record{
		Kind: KindEmit, Flags: FlagVolatile | FlagNoCompress, Socket: SocketAddr{edge1, 5, 6}, Namespace: []byte("/n"),
		Handled: 4, Epoch: 1, Origin: app1, Partition: 0, PartitionEpoch: 1, Op: 1, Ack: 1, Body: []byte("p"),
	}},
	{"confirm", Record{Kind: KindConfirm, Flags: FlagControl, Partition: 63, PartitionEpoch: 7, Op: 128}},
	{"partition alone", Record{Kind: KindConfirm, Partition: 5}},
	{"fragment", Record{Kind: KindBroadcast, Fragment: Fragment{1, 2}, Body: []byte("second half")}},
	{"rare fields", Record{Kind: KindData, Offset: []byte("i1-5"), Lease: 9, Ext: AppendExt(nil, ExtTrace, []byte("00-1"))}},
	{"everything", Record{
		Kind: KindBroadcast, Flags: 0xff, Socket: SocketAddr{edge1, math.MaxUint32, math.MaxUint32}, Namespace: []byte("/%"),
		Seq: math.MaxUint64, Handled: math.MaxUint64, Epoch: math.MaxUint32, Origin: app1, Partition: 63,
		PartitionEpoch: math.MaxUint32, Op: math.MaxUint64, Ack: math.MaxUint64, ID: []byte("00000000000000000000000000000000001"),
		Fragment: Fragment{math.MaxUint32 - 1, math.MaxUint32}, Offset: []byte{0}, Lease: math.MaxUint64,
		Ext: AppendExt(AppendExt(nil, math.MaxUint64, nil), 2, []byte{1, 2}), Body: []byte{0xff, 0},
	}},
	{"stream open", Record{Kind: KindStreamOpen, Flags: FlagClose, Body: []byte("\x02head")}},
	{"stream data", Record{Kind: KindStreamData, Body: []byte("\xd9\x04bytes")}},
	{"stream end", Record{Kind: KindStreamData, Flags: FlagControl | FlagClose, Body: []byte("\x03")}},
	{"stream reset", Record{Kind: KindStreamReset, Flags: FlagControl, Body: []byte("\x02too many streams")}},
	{"stream closed", Record{Kind: KindStreamReset, Flags: FlagControl | FlagClose, Body: []byte("\x03closed")}},
	{"streams lost", Record{Kind: KindStreamReset, Flags: FlagControl, Body: []byte("\x00link broken")}},
	{"stream credit", Record{Kind: KindStreamCredit, Flags: FlagControl, Body: []byte("\x03\x80\x80\x08")}},
	{"unknown kind", Record{Kind: 200, Flags: FlagSkippable, Seq: 3, Body: []byte("later")}},
}

// frames are the vectors of version 1; their bytes are in testdata/frames.txt.
var frames = []struct {
	name  string
	frame Frame
}{
	{"data", Frame{Kind: FrameData, Sender: app1, Link: 1, First: 1, Count: 1, Records: []byte{48, 32, 0, 0}}},
	{"data with mark", Frame{
		Kind: FrameData, Sender: app1, Link: 7, First: 1 << 40, Mark: Mark{Link: 3, Seq: 99, Gap: true}, Lease: 5,
		Count: 2, Records: []byte{48, 32, 0, 0, 48, 0, 0, 0},
	}},
	{"mark", Frame{Kind: FrameMark, Sender: app1, Mark: Mark{Link: 3, Seq: math.MaxUint64}}},
	{"ask for the first", Frame{Kind: FrameMark, Sender: app1, Mark: Mark{Link: 3, Gap: true}}},
	{"ended", Frame{Kind: FrameBreak, Sender: app1, Link: 4}},
	{"refused", Frame{Kind: FrameBreak, Sender: app1, Mark: Mark{Link: 4}, Records: []byte("unreadable record")}},
}

// golden returns the vectors of a file of testdata, lines of a name, a colon and hex.
func golden(tb testing.TB, file string) map[string][]byte {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		tb.Fatal(err)
	}
	vectors := map[string][]byte{}
	for line := range strings.Lines(string(content)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if vectors[name], err = hex.DecodeString(text); err != nil {
			tb.Fatalf("vector %q of %s: %v", name, file, err)
		}
	}
	return vectors
}
