package dibs

import (
	"bytes"
	"context"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Stored is the result of a Set.
type Stored struct {
	// Outcome is one of those of a [PublishEvent], usually "stored".
	Outcome string
	// IsStored reports that other callers get the value. They do not, for example, if the key was invalidated in the
	// meantime.
	IsStored bool
	// Fence is the fence of the value that is stored now; 0 if there is none.
	Fence int64
	// MaybeStored: the outcome is "not_stored", but the value may be stored anyway, and be read later.
	MaybeStored bool
}

// Set stores a value that the caller already has: a write-through after a change of the source. A nil pointer means
// that the source has nothing. Set waits for a running rebuild of the key, so its value comes after it. Calls of this
// process that begin after Set has returned get no older value.
//
// It needs [WithTTL]. It fails with an [UnencodableError] or the codec's own error, and with an [Error] for bad input,
// before anything is sent; with a [BusyError] if the wait ended first; with a [RebuildFailedError] if the rebuild that
// it waited for failed; with a [ReentrantRebuildError] within the rebuild of the same key; with an [Error] if the
// service cannot be reached, so it is unknown whether the value is stored; and when ctx ends.
func Set[T any](ctx context.Context, client *Client, key string, value T, options ...SetOption) (Stored, error) {
	its := client.setOptions(options)
	// Before anything is encoded, which would be wasted with a wrong option.
	if err := its.refused(key); err != nil {
		return Stored{}, err
	}
	data, err := marshal(its.codec, value)
	if err != nil && !isAbsence(err) {
		return Stored{}, err
	}
	// A copy: a publish continues after its caller has left, and the caller may use the bytes again.
	return client.set(ctx, key, its, made{value: bytes.Clone(data), isAbsent: err != nil, storing: its.storing})
}

// SetAbsent stores the fact that the source has nothing under the key, like [Set] does with a value.
func SetAbsent(ctx context.Context, client *Client, key string, options ...SetOption) (Stored, error) {
	its := client.setOptions(options)
	if err := its.refused(key); err != nil {
		return Stored{}, err
	}
	return client.set(ctx, key, its, made{isAbsent: true, storing: its.storing})
}

func (c *Client) setOptions(options []SetOption) fetchOptions {
	its := c.config.calls
	for _, option := range options {
		option.applyToFetch(&its)
	}
	its.refresh = true
	its.onUnavailable = OnUnavailableFail
	return its
}

// marshal is [encoded], with a panic of the codec as its error.
func marshal[T any](codec Codec, value T) (data []byte, err error) {
	defer recoverAs(&err)
	return encoded(codec, value)
}

// setting is what is set, and the result.
type setting struct {
	its made
	// Written once, before the flight has landed.
	stored Stored
}

func (c *Client) set(ctx context.Context, key string, options fetchOptions, its made) (Stored, error) {
	setting := &setting{its: its}
	id := valueIDOf(options.namespace, key)
	got := c.fetch(ctx, &fetchLoop{Client: c, fetchOptions: options, id: id, setting: setting})
	if got.err != nil {
		// Without a lease, too: the caller has changed its source, and reads again.
		c.changed(change{namespace: id.namespace, keys: []string{id.key}})
		return Stored{}, got.err
	}
	return setting.stored, nil
}

// store publishes under the lease. A publish without an answer is retried while the lease lasts.
func (l *fetchLoop) store(ctx context.Context, lease *dibsv1.Lease) result {
	if ctx.Err() != nil {
		l.giveBack(ctx, lease)
		return result{err: context.Cause(ctx)}
	}
	publishing := l.traced(context.WithoutCancel(ctx))
	ends := time.Now().Add(milliseconds(lease.GetExpiresInMs()))
	for attempt := 0; ; attempt++ {
		response, err := l.publish(publishing, l.publishRequest(lease, l.setting.its))
		// Also if it failed, because the service may have stored it.
		l.changed(change{namespace: l.id.namespace, keys: []string{l.id.key}})
		switch {
		case err == nil:
			l.setting.stored = Stored{
				Outcome:     word(response.GetOutcome()),
				IsStored:    isStored(response.GetOutcome()),
				Fence:       response.GetFence(),
				MaybeStored: response.GetMaybeStored(),
			}
			return result{}
		case mayPublishAgain(err) && attempt < publishAgain && comeBack(ctx, pauseBefore(attempt, err), ends) && ctx.Err() == nil:
		default:
			// Others need not wait until it expires.
			l.life.spawnBehind(func() { l.giveBack(ctx, lease) })
			return result{err: err}
		}
	}
}
