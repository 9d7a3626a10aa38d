package dibs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// FetchMany is [Fetch] for many keys: one rebuild for all missing keys. rebuild gets the keys whose leases come at
// once, in their order, and is called again for those that come later, such as the keys of a holder that has died. The
// calls may overlap. A key that it leaves out, or a nil pointer, means that the source has nothing. Its error is the
// error of each of its keys. Its context ends when the leases of all its keys are lost. [ForKey] returns the context of
// one key, which also sets how that key's value is stored.
//
// The result has no entry for a key that the source does not have. If some keys fail, FetchMany returns the others with
// a [ManyError]. It fails without results only with an [Error] for bad input, before anything is sent, with a
// [ReentrantRebuildError] within the rebuild of one of the keys, and when ctx ends. Keys may repeat, and there may be
// any number of them: each call carries at most 1000.
func FetchMany[T any](
	ctx context.Context,
	client *Client,
	keys []string,
	rebuild func(ctx context.Context, keys []string) (map[string]T, error),
	options ...FetchOption,
) (map[string]T, error) {
	its := client.config.calls
	for _, option := range options {
		option.applyToFetch(&its)
	}
	many := client.manyCall(its, func(ctx context.Context, keys []string) (func(string) ([]byte, error), error) {
		values, err := rebuild(ctx, keys)
		return func(key string) ([]byte, error) {
			value, isThere := values[key]
			if !isThere {
				return nil, ErrAbsent
			}
			return encoded(its.codec, value)
		}, err
	}, isReadable[T](its.codec))
	results, err := many.results(ctx, distinct(keys))
	if err != nil {
		return nil, err
	}
	values, failed := make(map[string]T), make(map[string]error)
	take := func(key string, got result) error {
		var value T
		steps := many.steps(key)
		steps.decode = func(data []byte) error { return unmarshal(its.codec, data, &value) }
		err := steps.valueOf(got)
		switch {
		case err == nil:
			values[key] = value
		case !isAbsence(err):
			failed[key] = err
		}
		return err
	}
	unreadables := make(map[string]*UndecodableError)
	for key, got := range results {
		// If this codec cannot read what it just wrote, another rebuild does not help.
		if unreadable, ok := take(key, got).(*UndecodableError); ok && got.source != notHit {
			unreadables[key] = unreadable
		}
	}
	for key, got := range many.readable(ctx, unreadables, results) {
		delete(failed, key)
		_ = take(key, got)
	}
	switch {
	case len(failed) == 0:
		return values, nil
	case ctx.Err() != nil:
		return nil, gone(ctx)
	default:
		return values, &ManyError{failed}
	}
}

// ManyError reports which keys of a call failed, and why.
type ManyError struct {
	// Errors are the errors that [Fetch] would have returned, by key. The other values are in the call's first result.
	Errors map[string]error
}

func (e *ManyError) Error() string {
	first := slices.Min(slices.Collect(maps.Keys(e.Errors)))
	if len(e.Errors) == 1 {
		return fmt.Sprintf("dibs: %q failed: %s", first, textOf(e.Errors[first]))
	}
	return fmt.Sprintf("dibs: %d keys failed; %q is the first: %s", len(e.Errors), first, textOf(e.Errors[first]))
}

// Unwrap returns the errors, in the order of their keys.
func (e *ManyError) Unwrap() []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(e.Errors)) {
		errs = append(errs, e.Errors[key])
	}
	return errs
}

func distinct(keys []string) []string { return slices.Compact(slices.Sorted(slices.Values(keys))) }

// manyCall is one call for several keys. Each key behaves as in its own [Fetch]. They share only the first request and
// the rebuild.
type manyCall struct {
	*Client
	fetchOptions
	calledAt   time.Time
	until      time.Time
	rebuilds   *manyKeys
	isReadable func([]byte) bool
}

func (c *Client) manyCall(options fetchOptions, rebuild manyRebuild, isReadable func([]byte) bool) *manyCall {
	calledAt := time.Now()
	return &manyCall{
		Client:       c,
		fetchOptions: options,
		calledAt:     calledAt,
		until:        calledAt.Add(min(options.wait.or(defaultWait), timeMax)),
		isReadable:   isReadable,
		rebuilds: &manyKeys{
			client:    c,
			namespace: options.namespace,
			rebuild:   rebuild,
			unsettled: make(map[string]struct{}),
			gather:    gatherMin,
			turns:     make(chan struct{}, manyCallsMax),
		},
	}
}

func (m *manyCall) steps(key string) *fetchLoop {
	return &fetchLoop{
		Client:       m.Client,
		fetchOptions: m.fetchOptions,
		id:           valueIDOf(m.namespace, key),
		calledAt:     m.calledAt,
		until:        m.until,
		rebuild:      func(ctx context.Context) ([]byte, error) { return m.rebuilds.made(ctx, key) },
		isReadable:   m.isReadable,
		many:         m.rebuilds,
	}
}

func (m *manyCall) refused(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := firstOf(m.fetchOptions.refused(key), reentry(ctx, m.Client, valueIDOf(m.namespace, key))); err != nil {
			return err
		}
	}
	return nil
}

// results returns the result of each key.
func (m *manyCall) results(ctx context.Context, keys []string) (map[string]result, error) {
	if err := m.refused(ctx, keys); err != nil {
		return nil, err
	}
	leave, err := m.life.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if ctx.Err() != nil {
		return nil, gone(ctx)
	}
	results := make(map[string]result, len(keys))
	answers := &manyAnswers{
		Client:       m.Client,
		fetchOptions: m.fetchOptions,
		until:        m.until,
		requestID:    newUUID(),
		keys:         m.rebuilds,
		open:         make(map[string]*firstAnswer),
	}
	for _, key := range keys {
		steps := m.steps(key)
		if got, ok := steps.nearHit(); ok {
			results[key] = got
			continue
		}
		steps.requestID = answers.requestID
		answers.open[key] = &firstAnswer{steps: steps, come: make(chan struct{})}
		m.rebuilds.unsettled[key] = struct{}{}
	}
	if len(answers.open) == 0 {
		return results, nil
	}
	return results, m.await(ctx, answers, results)
}

// await boards a flight for each key, asks for them all, and waits for them.
func (m *manyCall) await(ctx context.Context, answers *manyAnswers, results map[string]result) error {
	for key, first := range answers.open {
		first.steps.first = first
		id := first.steps.fetchID()
		id.isAlone = true
		first.flight, _ = m.flights.board(ctx, id, func(ctx context.Context, its *flight) result {
			defer func() {
				if !first.steps.isBehind {
					m.rebuilds.settle(key)
				}
			}()
			return first.steps.run(ctx, its)
		})
	}
	asking, cancel := m.life.detached(ctx)
	defer cancel(errGone)
	m.life.spawn(func() { answers.ask(first(answers).withinTrace(asking)) })
	for key, its := range answers.open {
		select {
		case <-its.flight.landed:
			results[key] = its.steps.counted(its.flight.result, false)
		case <-ctx.Done():
			for _, its := range answers.open {
				m.flights.leave(its.flight)
			}
			return gone(ctx)
		}
	}
	return nil
}

// first returns the steps of one of the keys.
func first(of *manyAnswers) *fetchLoop {
	for _, its := range of.open {
		return its.steps
	}
	return nil
}

// readable treats values that cannot be read as misses, like [Fetch], within the remaining wait.
func (m *manyCall) readable(ctx context.Context, unreadables map[string]*UndecodableError, results map[string]result) map[string]result {
	var mu sync.Mutex
	var all sync.WaitGroup
	got := make(map[string]result, len(unreadables))
	for key, because := range unreadables {
		all.Go(func() {
			its := m.fetchReadable(ctx, m.steps(key), because, results[key].fence)
			mu.Lock()
			defer mu.Unlock()
			got[key] = its
		})
	}
	all.Wait()
	return got
}
