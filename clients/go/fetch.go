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

// fetchID: calls with the same of these get the same answer, so that one of them asks for all.
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
	// isAlone: reading the store and refreshing want what is newer than the call, so that no call shares it.
	isAlone bool
}

// Fetch is the value of a key: from the cache, from another caller's rebuild, or from rebuild, which at most one caller
// in the fleet runs at a time. A rebuild returns [ErrAbsent], or a nil pointer, where the source has nothing. Its
// context ends, with the cause [ErrLeaseLost], when its result would not be stored any more, or when no caller waits for
// it; [LeaseFrom] its context says what is known of the lease, and [ForValue] sets how the value is stored. It must not
// share what it returns.
//
// Fetch fails with what rebuild returned, which is [ErrAbsent] for all where the source has nothing; with a
// [RebuildFailedError] where another caller's rebuild failed and its back-off runs; with a [BusyError] where the wait
// ended first; with a [ReentrantRebuildError] within the rebuild of the same key; with an [Error] for bad input, and
// with [OnUnavailableFail] where the service cannot be reached; with the codec's error where the value cannot be read,
// not even after a rebuild; and as ctx ends.
func Fetch[T any](
	ctx context.Context,
	client *Client,
	key string,
	rebuild func(ctx context.Context) (T, error),
	options ...FetchOption,
) (T, error) {
	var value T
	its := client.config.calls
	for _, option := range options {
		option.applyToFetch(&its)
	}
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
		id:           valueIDOf(its.namespace, key),
		rebuild:      rebuildBytes,
		decode:       decode,
		isReadable:   isReadable[T](its.codec),
	}
	got := client.fetch(ctx, steps)
	err := steps.valueOf(got)
	// What this very codec wrote a moment ago will not be read better after another rebuild.
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

// encoded is a value as bytes; [ErrAbsent] where it says that the source has nothing.
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

// isNil: a nil pointer is how a source says that it has nothing. A nil slice or map is a value.
func isNil(value any) bool {
	if value == nil {
		return true
	}
	its := reflect.ValueOf(value)
	return its.Kind() == reflect.Pointer && its.IsNil()
}

func valueIDOf(namespace, key string) valueID { return valueID{cmp.Or(namespace, "default"), key} }

// UndecodableError is a value that the codec cannot read: of another type, or of a version that is no more.
type UndecodableError struct {
	Key string
	// Err is the codec's.
	Err error
}

func (e *UndecodableError) Unwrap() error { return e.Err }
func (e *UndecodableError) Error() string {
	return fmt.Sprintf("dibs: the value of %q cannot be read: %v", e.Key, e.Err)
}

// valueOf reads the value for its caller, or is why there is none.
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

// recoverAs, deferred, makes a panic of user's code an error.
func recoverAs(err *error) {
	if panicked := recover(); panicked != nil {
		*err = &PanicError{panicked, debug.Stack()}
	}
}

// fetch is the value as it is stored, whether by a rebuild that runs here or by a call that others may share.
func (c *Client) fetch(ctx context.Context, steps *fetchLoop) result {
	if err := steps.refused(steps.id.key); err != nil {
		return result{err: err}
	}
	if err := reentry(ctx, c, steps.id); err != nil {
		return result{err: err}
	}
	return c.ask(ctx, steps)
}

// ask is the near value, else what a call comes to.
func (c *Client) ask(ctx context.Context, steps *fetchLoop) result {
	// First, and without a lock: it is what costs a hit that makes no call.
	if got, ok := steps.nearHit(); ok {
		return got
	}
	leave, err := c.life.enter()
	if err != nil {
		return result{err: err}
	}
	defer leave()
	steps.until = time.Now().Add(min(steps.wait.or(defaultWait), timeMax))
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

// fetchOnce: a caller that joined keeps its own wait. It asks again where that is longer than the wait of the call that
// it joined, or where what came of that is older than its own call.
func (c *Client) fetchOnce(ctx context.Context, steps *fetchLoop, id fetchID) (got result, asksAgain bool) {
	if (!id.isAlone || steps.unreadable != nil) && !steps.isGet {
		if running := c.flights.boardRebuild(steps.id, steps.acceptsStale()); running != nil {
			got, asksAgain = c.flights.joinRebuild(ctx, steps.until, running)
			return steps.counted(got, !asksAgain), asksAgain
		}
	}
	got, hasJoined := c.flights.join(ctx, id, steps.until, steps.run)
	got = steps.counted(got, hasJoined)
	if !hasJoined {
		return got, false
	}
	busy, isBusy := got.err.(*BusyError)
	return got, isBusy && !busy.endsHere() && comeBack(ctx, busy.retryAfter, steps.until)
}

// nearHit is the fresh value that this process keeps.
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
	// What is near has been counted where it was found.
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

func (l *fetchLoop) acceptsStale() bool {
	return l.stale != StaleForbid && l.revalidate == RevalidateBackground
}

// fetchReadable takes a value that cannot be read for a miss: it refreshes the key, once.
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

// unreadable is a value that a refresh is to replace.
type unreadable struct{ fence int64 }
