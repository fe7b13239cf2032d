package engine

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Packets without data and frames that every session sends alike.
//
//nolint:gochecknoglobals // immutable, and shared by all sessions
var (
	pingPacket  = newPacket(packetPing, nil)
	pongPacket  = newPacket(packetPong, nil) // protocol 3
	noopPacket  = newPacket(packetNoop, nil)
	closePacket = newPacket(packetClose, nil)
	probeReply  = newPacket(packetPong, []byte("probe"))

	// closeFrame carries no code: clients see 1005, as from the reference.
	closeFrame = controlFrame(ws.OpClose, nil)
)

// controlFrame returns a whole control frame; payload is at most 125 bytes.
func controlFrame(op ws.OpCode, payload []byte) []byte {
	return append(appendFrameHeader(make([]byte, 0, 2+len(payload)), op, len(payload)), payload...)
}

// closeFrameCode returns a close frame with a code and no reason.
func closeFrameCode(code ws.StatusCode) []byte {
	return controlFrame(ws.OpClose, binary.BigEndian.AppendUint16(nil, uint16(code)))
}
