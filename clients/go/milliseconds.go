package dibs

import (
	"math"
	"time"
)

// millisecondsMax is the longest time that a [time.Duration] holds.
const millisecondsMax = math.MaxInt64 / int64(time.Millisecond)

// milliseconds is a time of the contract. A value below 0 or beyond all bounds is clamped.
func milliseconds(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), millisecondsMax)) * time.Millisecond
}

// duration is a time that a caller may have set.
type duration struct {
	time.Duration
	isNamed bool
}

// named is a time that a caller sets. A fraction of a millisecond becomes one, because it was meant to be more than
// none.
func named(d time.Duration) duration {
	if d > 0 {
		d = max(d, time.Millisecond)
	}
	return duration{d, true}
}

// ms is the time in the contract's form, whole milliseconds, cut; nil if none was set.
func (d duration) ms() *int64 {
	if !d.isNamed {
		return nil
	}
	ms := d.Milliseconds()
	return &ms
}

// or is the time that was set, or else other.
func (d duration) or(other time.Duration) time.Duration {
	if d.isNamed {
		return d.Duration
	}
	return other
}
