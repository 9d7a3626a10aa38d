package dibs

import (
	"context"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Explanation is what the service knows about a key, for people. It contains neither the value nor a token.
type Explanation struct {
	// Lease is the running lease; nil if there is none.
	Lease *RunningLease
	// Waiters is how many callers wait on the replica that answered.
	Waiters int
	// Value is nil if there is none.
	Value *CachedValue
	// Fence is the highest fence of the key so far; 0 if unknown.
	Fence int64
	// PastLeases are the last leases, newest first, at most 16.
	PastLeases []PastLease
	// Failed is the failure whose back-off is running; nil if there is none.
	Failed *RebuildFailedError
	// Degraded is "none", or the part of the fleet that was unavailable: "quorum_lost", "store_lost", "local".
	Degraded string
}

// RunningLease is a running lease.
type RunningLease struct {
	// Holder is the holder's label, see [WithHolder].
	Holder string
	Fence  int64
	// Age is how long ago it was granted; ExpiresIn is its remaining time.
	Age       time.Duration
	ExpiresIn time.Duration
	// Reason is why it was granted, as in a [Lease].
	Reason string
	// Traceparent is the W3C traceparent of the rebuild; empty if it is not traced.
	Traceparent string
}

// CachedValue is a value without its bytes.
type CachedValue struct {
	// IsAbsent reports that the source has nothing.
	IsAbsent bool
	// Freshness is "fresh" or "stale".
	Freshness string
	SizeBytes int64
	// Age is how long ago it was published.
	Age time.Duration
	// FreshFor is how long it stays fresh; StaleFor is how long from now it may be served stale.
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
	// FailureMessage is the holder's message, if it failed.
	FailureMessage string
}

// Explain shows why a key waits: who holds it, since when, and how its last leases ended. Of its options, only the
// namespace and the traceparent have an effect. It makes one attempt of at most 5 s, and fails with an [Error] or when
// ctx ends.
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
