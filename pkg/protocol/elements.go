package protocol

// Elements appends to dst a view of the raw JSON of each element of array, without
// the white space around it, and returns the extended slice. It is meant for the
// Data of an event or ack, which Parse has validated; given anything but one valid
// JSON array it returns dst as it was. It allocates only to grow dst.
func Elements(dst [][]byte, array []byte) [][]byte {
	s := scanner{text: array, maxDepth: maxNesting}
	i := s.space(0)
	if i == len(array) || array[i] != '[' {
		return dst
	}
	i = s.space(i + 1)
	if i == len(array) || array[i] == ']' {
		return dst
	}
	for out := dst; ; {
		end := s.value(i, 1)
		if end < 0 {
			return dst
		}
		out = append(out, array[i:end:end])
		i = s.space(end)
		switch {
		case i < len(array) && array[i] == ',':
			i = s.space(i + 1)
		case i < len(array) && array[i] == ']' && s.space(i+1) == len(array):
			return out
		default:
			return dst
		}
	}
}
