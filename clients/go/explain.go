package dibs

import (
	"context"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Explanation is what the service knows of a key, for people: never the value, and no token.
type Explanation struct {
	// Lease is the one that runs; nil if none does.
	Lease *RunningLease
	// Waiters is how many callers wait on the replica that has answered.
	Waiters int
	// Value is nil if there is none.
	Value *CachedValue
	// Fence is the highest of the key so far; 0 if that is not known.
	Fence int64
	// PastLeases are the last ones, newest first, at most 16.
	PastLeases []PastLease
	// Failed is the failure whose back-off runs; nil if none does.
	Failed *RebuildFailedError
	// Degraded is "none", or which part of the fleet was out of reach: "quorum_lost", "store_lost", "local".
	Degraded string
}

// RunningLease is a lease that runs.
type RunningLease struct {
	// Holder is what the holder is called, see [WithHolder].
	Holder string
	Fence  int64
	// Age is how long ago it was given; ExpiresIn how long it still lasts.
	Age       time.Duration
	ExpiresIn time.Duration
	// Reason is that of a [Lease].
	Reason string
	// Traceparent is that of the rebuild; empty if it is not traced.
	Traceparent string
}

// CachedValue is a value without its bytes.
type CachedValue struct {
	// IsAbsent: the source has nothing.
	IsAbsent bool
	// Freshness is "fresh" or "stale".
	Freshness string
	SizeBytes int64
	// Age is how long ago it was published.
	Age time.Duration
	// FreshFor is how long it stays fresh; StaleFor how long from now it may be served stale.
	FreshFor time.Duration
	StaleFor time.Duration
	Fence    int64
	Tags     []string
}

// PastLease is a lease that has ended.
type PastLease struct {
	Holder string
	Fence  int64
	// HeldFor is how long it was held; EndedAgo how long ago it ended.
	HeldFor  time.Duration
	EndedAgo time.Duration
	// End is "published", "released", "failed", "expired", "session_lost", "invalidated" or "cancelled".
	End string
	// FailureMessage is the holder's, where it failed.
	FailureMessage string
}

// Explain says why a key waits: who holds it, since when, and how its last leases ended. Of its options only the
// namespace and the traceparent matter. It makes one attempt of at most 5 s, and fails with an [Error], or as ctx ends.
func (c *Client) Explain(ctx context.Context, key string, options ...CallOption) (*Explanation, error) {
	its := c.config.calls
	for _, option := range options {
		option.applyToFetch(&its)
	}
	if err := its.refusedRead(key); err != nil {
		return nil, err
	}
	leave, err := c.life.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	request := &dibsv1.ExplainRequest{Namespace: its.namespace, Key: key}
	response, err := c.calls.Explain(tracedAs(ctx, its.traceparent), request, within{timeout: callTimeout})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, gone(ctx)
	case err != nil:
		return nil, err
	default:
		return explained(response), nil
	}
}

func explained(response *dibsv1.ExplainResponse) *Explanation {
	its := &Explanation{
		Waiters:  int(response.GetWaiters()),
		Fence:    response.GetFence(),
		Degraded: word(response.GetDegraded()),
	}
	if lease := response.Lease; lease != nil {
		its.Lease = &RunningLease{
			Holder:      lease.GetHolder(),
			Fence:       lease.GetFence(),
			Age:         milliseconds(lease.GetAgeMs()),
			ExpiresIn:   milliseconds(lease.GetExpiresInMs()),
			Reason:      word(lease.GetReason()),
			Traceparent: lease.GetTraceparent(),
		}
	}
	if value := response.Value; value != nil {
		its.Value = &CachedValue{
			IsAbsent:  value.GetAbsent(),
			Freshness: word(value.GetFreshness()),
			SizeBytes: value.GetSizeBytes(),
			Age:       milliseconds(value.GetAgeMs()),
			FreshFor:  milliseconds(value.GetFreshForMs()),
			StaleFor:  milliseconds(value.GetStaleForMs()),
			Fence:     value.GetFence(),
			Tags:      value.GetTags(),
		}
	}
	for _, past := range response.GetPastLeases() {
		its.PastLeases = append(its.PastLeases, PastLease{
			Holder:         past.GetHolder(),
			Fence:          past.GetFence(),
			HeldFor:        milliseconds(past.GetHeldMs()),
			EndedAgo:       milliseconds(past.GetEndedAgoMs()),
			End:            word(past.GetEnd()),
			FailureMessage: past.GetFailureMessage(),
		})
	}
	if failed := response.Failed; failed != nil {
		its.Failed = &RebuildFailedError{failed.GetMessage(), milliseconds(failed.GetRetryAfterMs())}
	}
	return its
}
