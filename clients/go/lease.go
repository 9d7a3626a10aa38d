package dibs

import (
	"context"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Lease is the lease of a rebuild.
type Lease struct {
	// Fence grows with each lease of the key. Pass it to the source if that checks fences. 0 if there is none.
	Fence int64
	// Reason is why the lease was granted: "miss", "expired", "early_refresh", "invalidated", "holder_lost", "refresh",
	// "unspecified" for a reason of a later service, or "local" if the service could not be reached.
	Reason string

	previous *dibsv1.Hit
	codec    Codec
}

// Previous decodes the previous value into the variable that into points to, for a source that can answer "not
// modified". It returns [ErrNoPrevious] if none is known, [ErrAbsent] if the source had nothing, and the codec's error
// for a value of another format.
func (l Lease) Previous(into any) error {
	switch payload := l.previous.GetPayload().(type) {
	case *dibsv1.Hit_Value:
		return l.codec.Unmarshal(payload.Value, into)
	case *dibsv1.Hit_Absent:
		return ErrAbsent
	default:
		return ErrNoPrevious
	}
}

type leaseKey struct{}

// LeaseFrom returns the lease of the rebuild that ctx belongs to; the zero Lease for any other context.
func LeaseFrom(ctx context.Context) Lease {
	lease, _ := ctx.Value(leaseKey{}).(Lease)
	return lease
}

func withLease(ctx context.Context, lease Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, lease)
}
