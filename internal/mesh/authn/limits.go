package authn

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Limits are those of one socket, in a permission. A field that is nil leaves the edge's own limit in force; 0 is no limit.
type Limits struct {
	EventsPerSecond *float64 `json:"events_per_second,omitempty"`
	EventBurst      *float64 `json:"event_burst,omitempty"` // a whole number
	BytesPerSecond  *float64 `json:"bytes_per_second,omitempty"`
	ByteBurst       *float64 `json:"byte_burst,omitempty"` // a whole number
}

// The least and the largest numbers that make sense: with less a client would not be read for hours, more cannot be sent.
const (
	MinEventsPerSecond = 0.001
	MinBytesPerSecond  = 1
	MaxRate            = 1e12
)

// UnmarshalJSON implements json.Unmarshaler. It fails on numbers that make no sense; unknown fields are ignored.
func (l *Limits) UnmarshalJSON(data []byte) error {
	type plain Limits
	var wire plain
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	*l = Limits(wire)
	return l.Validate()
}

// Validate reports numbers that make no sense.
func (l *Limits) Validate() error {
	for _, field := range []struct {
		name  string
		value *float64
		least float64
		whole bool
	}{
		{"events_per_second", l.EventsPerSecond, MinEventsPerSecond, false},
		{"event_burst", l.EventBurst, 1, true},
		{"bytes_per_second", l.BytesPerSecond, MinBytesPerSecond, false},
		{"byte_burst", l.ByteBurst, 1, true},
	} {
		switch v := field.value; {
		case v == nil || *v == 0:
		case !(*v >= field.least && *v <= MaxRate):
			return fmt.Errorf("%s: want 0 or a number from %v to %g", field.name, field.least, float64(MaxRate))
		case field.whole && *v != math.Trunc(*v):
			return errors.New(field.name + ": want a whole number")
		}
	}
	return nil
}
