package wire

// Append appends the encoded record to dst.
func (r *Record) Append(dst []byte) []byte { return dst }

// Parse reads one record from the start of b into r, whose byte slices become views of b, and returns what follows it.
func (r *Record) Parse(b []byte) (rest []byte, err error) { return nil, ErrMalformed }

// AppendPacket appends the encoded packet to dst.
func AppendPacket(dst []byte, p Packet) []byte { return dst }

// ParsePacket reads a packet that fills body. Its slices are views of body; reuse is the memory for Attachments.
func ParsePacket(body []byte, reuse [][]byte) (Packet, error) { return Packet{}, ErrMalformed }

// AppendStrings appends a list of strings to dst.
func AppendStrings(dst []byte, list []string) []byte { return dst }

// ParseStrings reads a list of strings that fills body.
func ParseStrings(body []byte) ([]string, error) { return nil, ErrMalformed }

// AppendSelector appends a selector to dst.
func AppendSelector(dst []byte, s Selector) []byte { return dst }

// ParseSelector reads a selector from the start of body and returns what follows it: the packet.
func ParseSelector(body []byte) (Selector, []byte, error) { return Selector{}, nil, ErrMalformed }
