package msgpack

import (
	"encoding/binary"
	"strconv"
)

const (
	msPerSecond = 1000
	msPerDay    = 24 * 60 * 60 * msPerSecond

	// maxDate is the last millisecond, and its negative the first, that a Date of
	// JavaScript can be.
	maxDate = 100_000_000 * msPerDay
)

// timestamp returns the milliseconds since 1970 that the three forms of msgpack's
// own timestamp stand for: one too far away is out of the range of a Date.
//
//	4 bytes    seconds
//	8 bytes    30 bits of nanoseconds, 34 of seconds
//	12 bytes   32 bits of nanoseconds, 64 of signed seconds
func timestamp(data []byte) (ms int64, ok bool) {
	const maxSeconds = maxDate/msPerSecond + 1
	var seconds int64
	var nanos uint64
	switch len(data) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(data))
	case 8:
		both := binary.BigEndian.Uint64(data)
		seconds, nanos = int64(both&(1<<34-1)), both>>34 //nolint:gosec // 34 bits
	case 12:
		nanos = uint64(binary.BigEndian.Uint32(data))
		seconds = int64(binary.BigEndian.Uint64(data[4:])) //nolint:gosec // it is signed
	default:
		return 0, false
	}
	seconds = min(max(seconds, -maxSeconds), maxSeconds)
	return seconds*msPerSecond + int64(nanos/1_000_000), nanos < 1_000_000_000 //nolint:gosec // 32 bits
}

// appendDate appends what Date.prototype.toJSON returns: the instant in UTC as a
// JSON string, or null for an invalid date (PAR-027).
func appendDate(dst []byte, ms int64) []byte {
	if ms < -maxDate || ms > maxDate {
		return append(dst, "null"...)
	}
	days, rest := ms/msPerDay, ms%msPerDay
	if rest < 0 {
		days, rest = days-1, rest+msPerDay
	}
	year, month, day := civil(days)
	dst = append(dst, '"')
	switch {
	case year < 0:
		dst = appendDigits(append(dst, '-'), -year, 6)
	case year > 9999:
		dst = appendDigits(append(dst, '+'), year, 6)
	default:
		dst = appendDigits(dst, year, 4)
	}
	dst = appendDigits(append(dst, '-'), month, 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), rest/(60*60*msPerSecond), 2)
	dst = appendDigits(append(dst, ':'), rest/(60*msPerSecond)%60, 2)
	dst = appendDigits(append(dst, ':'), rest/msPerSecond%60, 2)
	dst = appendDigits(append(dst, '.'), rest%msPerSecond, 3)
	return append(dst, 'Z', '"')
}

// civil returns the date of the Gregorian calendar that lies so many days behind
// 1970-01-01. A year is counted from March, so that the leap day is its last, and
// an era has the 400 years after which the calendar repeats itself.
func civil(days int64) (year, month, day int64) {
	const (
		era   = 146_097 // days
		shift = 719_468 // days from 0000-03-01 to 1970-01-01
	)
	days += shift
	eras := days / era
	if days%era < 0 {
		eras--
	}
	d := days - eras*era
	y := (d - d/1460 + d/36_524 - d/146_096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153 // months since March: 153 days to five of them
	day = d - (153*m+2)/5 + 1
	month = (m+2)%12 + 1
	year = eras*400 + y
	if month <= 2 {
		year++
	}
	return year, month, day
}

// appendDigits appends n, which is not negative, with at least so many digits.
func appendDigits(dst []byte, n int64, width int) []byte {
	from := len(dst)
	dst = strconv.AppendInt(dst, n, 10)
	for len(dst)-from < width {
		dst = append(dst, 0)
		copy(dst[from+1:], dst[from:])
		dst[from] = '0'
	}
	return dst
}
