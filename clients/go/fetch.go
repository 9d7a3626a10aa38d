package dibs

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// fetchID: calls that agree in these get the same answer, so one of them asks for all.
type fetchID struct {
	valueID
	stale         Stale
	revalidate    Revalidate
	wait          duration
	onUnavailable OnUnavailable
	// isGet: it gets no lease.
	isGet bool
	// isAgain: its callers have asked before, and have less than their wait left.
	isAgain bool
	// isAlone: reading the store and refreshing need something newer than the call, so no call shares it.
	isAlone bool
}

// Fetch returns the value of a key: from the cache, from another caller's rebuild, or from rebuild, which at most one
// caller in the fleet runs at a time. A rebuild returns [ErrAbsent], or a nil pointer, if the source has nothing. Its
// context ends with the cause [ErrLeaseLost] when its result would no longer be stored, or when no caller waits for it
// any more. [LeaseFrom] returns the lease of that context, and [ForValue] sets how the value is stored. The rebuild
// must not keep or share what it returns.
//
// Fetch fails with the error of rebuild, which is [ErrAbsent] for all callers if the source has nothing; with a
// [RebuildFailedError] if another caller's rebuild failed and its back-off is running; with a [BusyError] if the wait
// ended first; with a [ReentrantRebuildError] within the rebuild of the same key; with an [Error] for bad input, and
// with [OnUnavailableFail] if the service cannot be reached; with an [UndecodableError] if the value cannot be read
// even after a rebuild; and when ctx ends.
func Fetch[T any](
	ctx context.Context,
	client *Client,
	key string,
	rebuild func(ctx context.Context) (T, error),
	options ...FetchOption,
) (T, error) {
	its := optionsOf(client, options)
	id := valueIDOf(its.namespace, key)
	// The cost of a hit without a call: nothing of what follows is built for it.
	if hit := client.nearest(ctx, its, id); hit.entry != nil {
		var value T
		if unmarshal(its.codec, hit.entry.result.value, &value) == nil {
			client.served(its, id, hit)
			return value, nil
		}
	}
	return fetchOf(ctx, client, id, rebuild, *its)
}

// fetchOf is a Fetch that the near cache does not answer.
func fetchOf[T any](
	ctx context.Context,
	client *Client,
	id valueID,
	rebuild func(ctx context.Context) (T, error),
	its fetchOptions,
) (T, error) {
	var value T
	var hasRebuilt atomic.Bool
	rebuildBytes := func(ctx context.Context) ([]byte, error) {
		hasRebuilt.Store(true)
		value, err := rebuild(ctx)
		if err != nil {
			return nil, err
		}
		return encoded(its.codec, value)
	}
	decode := func(data []byte) error {
		var fresh T
		err := unmarshal(its.codec, data, &fresh)
		if err == nil {
			value = fresh
		}
		return err
	}
	steps := &fetchLoop{
		Client:       client,
		fetchOptions: its,
		id:           id,
		rebuild:      rebuildBytes,
		decode:       decode,
		isReadable:   isReadable[T](its.codec),
	}
	got := client.fetch(ctx, steps)
	err := steps.valueOf(got)
	// If this codec cannot read what it just wrote, another rebuild does not help.
	if unreadable, ok := err.(*UndecodableError); ok && !hasRebuilt.Load() {
		got = client.fetchReadable(ctx, steps, unreadable, got.fence)
		err = steps.valueOf(got)
	}
	if err != nil {
		var none T
		return none, err
	}
	its.tellFreshness(got)
	return value, nil
}

// optionsOf returns the options of a call. Without any, these are the client's own, which are never changed.
func optionsOf[O FetchOption](client *Client, options []O) *fetchOptions {
	if len(options) == 0 {
		return &client.config.calls
	}
	its := client.config.calls
	for _, option := range options {
		option.applyToFetch(&its)
	}
	return &its
}

// nearest returns this process's fresh value, unless the call must be refused.
func (c *Client) nearest(ctx context.Context, its *fetchOptions, id valueID) nearHit {
	if c.near == nil || its.refresh || its.read == ReadStore || c.life.isOver() {
		return nearHit{}
	}
	hit := c.near.fresh(id)
	if hit.entry == nil || hit.entry.result.isAbsent || its.refused(id.key) != nil || reentry(ctx, c, id) != nil {
		return nearHit{}
	}
	return hit
}

// served counts a hit in the near cache.
func (c *Client) served(its *fetchOptions, id valueID, hit nearHit) {
	hit.namespace.hits.add(hitNear, false)
	if hook := c.config.hooks.Hit; hook != nil {
		tell(hook, HitEvent{Event{its.namespace, id.key}, freshnessWords[0], true})
	}
	its.tellFreshness(hit.entry.result)
}

// encoded returns a value as bytes, or [ErrAbsent] if the value means that the source has nothing.
func encoded[T any](codec Codec, value T) ([]byte, error) {
	if isNil(value) {
		return nil, ErrAbsent
	}
	return codec.Marshal(value)
}

func isReadable[T any](codec Codec) func(data []byte) bool {
	return func(data []byte) bool {
		var unused T
		return unmarshal(codec, data, &unused) == nil
	}
}

func (f *fetchOptions) tellFreshness(of result) {
	if f.freshness == nil {
		return
	}
	*f.freshness = freshnessWords[0]
	if of.isStale {
		*f.freshness = freshnessWords[1]
	}
}

// isNil: a nil pointer means that the source has nothing. A nil slice or map is a value.
func isNil(value any) bool {
	if value == nil {
		return true
	}
	its := reflect.ValueOf(value)
	return its.Kind() == reflect.Pointer && its.IsNil()
}

func valueIDOf(namespace, key string) valueID { return valueID{cmp.Or(namespace, "default"), key} }

// UndecodableError is a value that the codec cannot read: of another type, or of a version that no longer exists.
type UndecodableError struct {
	Key string
	// Err is the codec's error.
	Err error
}

func (e *UndecodableError) Unwrap() error { return e.Err }
func (e *UndecodableError) Error() string {
	return fmt.Sprintf("dibs: the value of %q cannot be read: %v", e.Key, e.Err)
}

// valueOf decodes the value for its caller, or returns why there is none.
func (l *fetchLoop) valueOf(got result) error {
	switch {
	case got.isAbsent:
		return &absentError{got.err, l.id}
	case got.err != nil:
		return got.err
	}
	if err := l.decode(got.value); err != nil {
		return &UndecodableError{l.id.key, err}
	}
	return nil
}

func unmarshal(codec Codec, data []byte, into any) (err error) {
	defer recoverAs(&err)
	return codec.Unmarshal(data, into)
}

// recoverAs, deferred, turns a panic of the user's code into an error.
func recoverAs(err *error) {
	if panicked := recover(); panicked != nil {
		*err = &PanicError{panicked, debug.Stack()}
	}
}

// fetch returns the stored value, from a rebuild that runs here or from a call that others may share.
func (c *Client) fetch(ctx context.Context, steps *fetchLoop) result {
	if err := steps.refused(steps.id.key); err != nil {
		return result{err: err}
	}
	if err := reentry(ctx, c, steps.id); err != nil {
		return result{err: err}
	}
	return c.ask(ctx, steps)
}

// ask returns the near value, or the result of a call.
func (c *Client) ask(ctx context.Context, steps *fetchLoop) result {
	// First, and without a lock, because it is the cost of a hit without a call.
	if got, ok := steps.nearHit(); ok {
		return got
	}
	leave, err := c.life.enter()
	if err != nil {
		return result{err: err}
	}
	defer leave()
	steps.calledAt = time.Now()
	// A second look, for a value that could not be read, belongs to the same wait.
	if steps.until.IsZero() {
		steps.until = steps.calledAt.Add(min(steps.wait.or(defaultWait), timeMax))
	}
	id := steps.fetchID()
	for {
		got, asksAgain := c.fetchOnce(ctx, steps, id)
		if !asksAgain {
			return got
		}
		if !time.Now().Before(steps.until) {
			return result{err: waitEnded()}
		}
		id.isAgain = true
	}
}

// fetchOnce keeps the own wait of a caller that joined. The caller asks again if its wait is longer than that of the
// call that it joined, or if the result is older than its own call.
func (c *Client) fetchOnce(ctx context.Context, steps *fetchLoop, id fetchID) (got result, asksAgain bool) {
	if (!id.isAlone || steps.unreadable != nil) && !steps.isGet {
		if running := c.flights.boardRebuild(steps.id, steps.joiner()); running != nil {
			got, asksAgain = c.flights.joinRebuild(ctx, steps.until, running)
			return steps.counted(got, !asksAgain), asksAgain
		}
	}
	got, hasJoined := c.flights.join(ctx, id, steps.until, steps.run)
	got = steps.counted(got, hasJoined)
	if !hasJoined {
		return got, false
	}
	return got, got.mayEndLater(ctx, steps.until)
}

// mayEndLater reports whether a caller with more time than the call that it joined asks again, and pauses for that.
func (r result) mayEndLater(ctx context.Context, until time.Time) bool {
	switch err := r.err.(type) {
	case *BusyError:
		return err.Reason != BusyNoValue && waitToRetry(ctx, err.retryAfter, until)
	case *Error:
		return err.retryAfter >= 0 && waitToRetry(ctx, err.retryAfter, until)
	default:
		return r.isLost && time.Now().Before(until)
	}
}

// nearHit returns this process's fresh value.
func (l *fetchLoop) nearHit() (result, bool) {
	if l.near == nil || l.refresh || l.read == ReadStore || l.life.isOver() {
		return result{}, false
	}
	got, ok := l.near.get(l.id)
	if ok {
		tell(l.config.hooks.Hit, HitEvent{l.event(), "fresh", true})
	}
	return got, ok
}

// counted counts a value that this call did not rebuild.
func (l *fetchLoop) counted(got result, hasJoined bool) result {
	if got.isFailure() {
		return got
	}
	if hasJoined {
		got.source = hitJoined
	}
	// A near value was counted where it was found.
	if got.source > hitNear {
		l.metrics.hits.of(l.id.namespace).add(got.source, got.isStale)
	}
	return got
}

func (l *fetchLoop) fetchID() fetchID {
	return fetchID{
		valueID:       l.id,
		stale:         l.stale,
		revalidate:    l.revalidate,
		wait:          l.wait,
		onUnavailable: l.onUnavailable,
		isGet:         l.isGet,
		isAlone:       l.read == ReadStore || l.refresh,
	}
}

func (l *fetchLoop) joiner() joiner {
	acceptsStale := l.stale != StaleForbid && l.revalidate == RevalidateBackground
	return joiner{l.stale, acceptsStale, l.unreadable != nil}
}

// fetchReadable treats a value that cannot be read as a miss, and refreshes the key once.
func (c *Client) fetchReadable(ctx context.Context, steps *fetchLoop, because *UndecodableError, fence int64) result {
	steps.tellUndecodable(because)
	again := *steps
	again.refresh = true
	again.unreadable = &unreadable{fence}
	return c.fetch(ctx, &again)
}

func (l *fetchLoop) tellUndecodable(because *UndecodableError) {
	l.metrics.count(l.metrics.undecodable, l.id.namespace)
	tell(l.config.hooks.Undecodable, UndecodableEvent{l.event(), because.Err})
}

// unreadable is a value that a refresh must replace.
type unreadable struct{ fence int64 }
