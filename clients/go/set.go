package dibs

import (
	"context"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Stored is what became of a value that was set.
type Stored struct {
	// Outcome is that of a [PublishEvent]; "stored" is the rule.
	Outcome string
	// IsStored: other callers get the value. It is not where the key was invalidated meanwhile, for example.
	IsStored bool
	// Fence is that under which the key's value is now stored; 0 if there is none.
	Fence int64
	// MaybeStored: the outcome is "not_stored", and the value may still be stored, and be read later.
	MaybeStored bool
}

// Set stores a value that the caller has: the write-through after a change of the source. A nil pointer is the knowledge
// that the source has nothing. If a rebuild of the key runs, it ends first, so that the value of Set comes after it. No
// call of this process that begins after Set has returned gets an older value.
//
// It needs [WithTTL]. It fails with an [UnencodableError] or the codec's own error, and with an [Error] for bad input,
// before anything is sent; with a [BusyError] where the wait ended first; with a [RebuildFailedError] where the rebuild
// that it waited for failed; with a [ReentrantRebuildError] within the rebuild of the same key; with an [Error] where the
// service cannot be reached, so that it is not known whether the value is stored; and as ctx ends.
func Set[T any](ctx context.Context, client *Client, key string, value T, options ...SetOption) (Stored, error) {
	its := client.setOptions(options)
	// Before anything is encoded, which a wrong option makes needless.
	if err := its.refused(key); err != nil {
		return Stored{}, err
	}
	data, err := marshal(its.codec, value)
	if err != nil && !isAbsence(err) {
		return Stored{}, err
	}
	return client.set(ctx, key, its, made{value: data, isAbsent: err != nil, storing: its.storing})
}

// SetAbsent stores the knowledge that the source has nothing under the key, as [Set] does with a value.
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

// marshal is [encoded], with the panic of a codec as its error.
func marshal[T any](codec Codec, value T) (data []byte, err error) {
	defer recoverAs(&err)
	return encoded(codec, value)
}

// setting is what is set, and how that ended.
type setting struct {
	its made
	// Written once, before the flight has landed.
	stored Stored
}

func (c *Client) set(ctx context.Context, key string, options fetchOptions, its made) (Stored, error) {
	setting := &setting{its: its}
	got := c.fetch(ctx, &fetchLoop{
		Client:       c,
		fetchOptions: options,
		id:           valueIDOf(options.namespace, key),
		setting:      setting,
	})
	if got.err != nil {
		return Stored{}, got.err
	}
	return setting.stored, nil
}

// store publishes under the lease. What was not answered is tried again while the lease lasts.
func (l *fetchLoop) store(ctx context.Context, lease *dibsv1.Lease) result {
	if ctx.Err() != nil {
		l.giveBack(ctx, lease)
		return result{err: context.Cause(ctx)}
	}
	publishing := l.traced(context.WithoutCancel(ctx))
	for attempt := 0; ; attempt++ {
		response, err := l.publish(publishing, l.publishRequest(lease, l.setting.its))
		// Also where it failed: the service may have stored it.
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
		case mayPublishAgain(err) && attempt < publishAgain && ctx.Err() == nil:
			pause(ctx, pauseBefore(attempt, err))
		default:
			// Others need not wait until it ends by itself.
			l.life.spawnBehind(func() { l.giveBack(ctx, lease) })
			return result{err: err}
		}
	}
}
