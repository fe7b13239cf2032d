package engine

import (
	"strconv"
	"strings"
)

// The content codings of polling payloads, the preferred one first (POL-025, POL-026).
const (
	codingGzip    = "gzip"
	codingDeflate = "deflate"
)

// codingFor returns the content coding for a payload of n bytes, "" for none (POL-025 to POL-030).
func (s *Server) codingFor(accept []string, msgs []*Message, n int) string {
	if s.cfg.DisableHTTPCompression || n < s.cfg.HTTPCompressionThreshold {
		return ""
	}
	for _, m := range msgs {
		if !m.plain {
			return acceptedCoding(accept)
		}
	}
	return ""
}

// zipped returns the payload of m alone in a content coding, compressed by whoever needs it first; nil if that failed.
func (m *Message) zipped(z *compressor, coding string) []byte {
	e := &m.more().gzip
	if coding == codingDeflate {
		e = &m.more().zlib
	}
	e.once.Do(func() {
		if data, err := z.body(nil, coding, m.pollingText()); err == nil {
			e.frame = data
		}
	})
	return e.frame
}

// acceptedCoding returns the coding that a client likes best, gzip of equals.
func acceptedCoding(accept []string) string {
	weights := map[string]float64{}
	for _, v := range accept {
		for part := range strings.SplitSeq(v, ",") {
			name, params, _ := strings.Cut(part, ";")
			weights[strings.ToLower(strings.TrimSpace(name))] = weight(params)
		}
	}
	best, most := "", 0.0
	for _, coding := range [...]string{codingGzip, codingDeflate} {
		w, ok := weights[coding]
		if !ok {
			w = weights["*"]
		}
		if w > most {
			best, most = coding, w
		}
	}
	return best
}

// weight returns the q of the parameters of an accepted coding, 1 without one, 0 if it is none.
func weight(params string) float64 {
	key, v, ok := strings.Cut(params, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || q > 1 { // NaN fails every comparison
		return 0
	}
	return q
}
