package dibs

import (
	"context"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Lease is what a rebuild is told of the lease that it runs under.
type Lease struct {
	// Fence grows with each lease of the key; give it to the source, if that checks fences. 0 if there is none.
	Fence int64
	// Reason is why the lease was given: "miss", "expired", "early_refresh", "invalidated", "holder_lost", "refresh",
	// "unspecified" for what a later service says, or "local" where the service could not be reached.
	Reason string

	previous *dibsv1.Hit
	codec    Codec
}

// Previous reads the value before into what into points to, for a source that can say "not modified". It returns
// [ErrNoPrevious] where none is known, [ErrAbsent] where the source had nothing, and the codec's error for a value of
// another format.
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

// LeaseFrom is the lease of the rebuild whose context this is; the zero Lease anywhere else.
func LeaseFrom(ctx context.Context) Lease {
	lease, _ := ctx.Value(leaseKey{}).(Lease)
	return lease
}

func withLease(ctx context.Context, lease Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, lease)
}
