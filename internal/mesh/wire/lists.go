package wire

// Selector names the recipients of a broadcast inside the record's namespace: the union of Rooms (everybody if empty) without
// the union of Except. A socket id is a room.
//
//	rooms Strings | except Strings
//
// and Strings is: count uvarint | length uvarint, bytes …
type Selector struct {
	Rooms  []string
	Except []string
}
