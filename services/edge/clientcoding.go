package edge

import (
	"strconv"
	"strings"
)

// The content codings of client files.
const (
	codingBrotli = "br"
	codingGzip   = "gzip"
)

// clientCoding returns the coding that an Accept-Encoding header likes best, "" for none (RFC 9110 section 12.5.3): of equals
// the one that comes first, as with the reference; a file as it is comes last unless its own weight says otherwise.
func clientCoding(accept []string) string {
	best, most := "", 0.0
	every, plain := -1.0, -1.0
	listed := map[string]bool{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		name, q := strings.ToLower(strings.TrimSpace(name)), codingWeight(params)
		switch name {
		case codingBrotli, codingGzip:
			listed[name] = true
			if q > most {
				best, most = name, q
			}
		case "identity":
			plain = q
		case "*":
			every = q
		}
	}
	for _, name := range []string{codingBrotli, codingGzip} {
		if !listed[name] && every > most {
			best, most = name, every
		}
	}
	if plain > most {
		return ""
	}
	return best
}

// codingWeight returns the q of the parameters of a coding: 1 without one, 0 if it cannot be read.
func codingWeight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
