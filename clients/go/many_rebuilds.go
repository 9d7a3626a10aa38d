package dibs

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gatherMin: keys whose leases come later, one after the other, are rebuilt together if they come within this time. It
	// doubles with each such rebuild, up to gatherMax, because under load the leases for a thousand keys trickle in.
	gatherMin = 10 * time.Millisecond
	gatherMax = 160 * time.Millisecond
	// manyCallsMax is how many calls about the leases of one call for many keys run at once. Each has its own timeout,
	// which would be over before the last of a thousand that were sent together gets its turn.
	manyCallsMax = 100
)

// manyRebuild rebuilds the values of several keys. The returned function gives the bytes of one key, or its error.
type manyRebuild func(ctx context.Context, keys []string) (of func(key string) ([]byte, error), err error)

// manyKeys gathers the rebuilds of the keys of one call: first those of all leases that come at once, and then those
// that come later.
type manyKeys struct {
	client    *Client
	namespace string
	rebuild   manyRebuild

	// turns has a token for each running call.
	turns chan struct{}

	mu sync.Mutex
	// unsettled are the keys of which it is unknown whether they are rebuilt at once.
	unsettled map[string]struct{}
	waiting   []*waitingKey
	// hasBegun: those of the first answers have begun. isPlanned: further ones are gathered for gather.
	hasBegun  bool
	isPlanned bool
	gather    time.Duration
}

// waitingKey is the rebuild of one key, together with others.
type waitingKey struct {
	key string
	// ctx is the context of the key's own rebuild.
	ctx  context.Context
	made chan keyMade
}

type keyMade struct {
	value []byte
	err   error
}

// made rebuilds one key, together with others.
func (m *manyKeys) made(ctx context.Context, key string) ([]byte, error) {
	its := &waitingKey{key: key, ctx: ctx, made: make(chan keyMade, 1)}
	m.mu.Lock()
	m.waiting = append(m.waiting, its)
	if m.hasBegun && !m.isPlanned {
		m.isPlanned = true
		time.AfterFunc(m.gather, m.beginPlanned)
		m.gather = min(2*m.gather, gatherMax)
	}
	m.settled(key)
	m.mu.Unlock()
	select {
	case got := <-its.made:
		return got.value, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// turn waits until a call may be made. The returned function ends it.
func (m *manyKeys) turn() (over func()) {
	// A call for one key has no others.
	if m == nil {
		return func() {}
	}
	m.turns <- struct{}{}
	return func() { <-m.turns }
}

// settle is called for a key that is rebuilt later, if at all.
func (m *manyKeys) settle(key string) {
	// A call for one key has no others.
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled(key)
}

// settled must have the lock.
func (m *manyKeys) settled(key string) {
	delete(m.unsettled, key)
	if len(m.unsettled) == 0 && !m.hasBegun {
		m.hasBegun = true
		m.begin()
	}
}

func (m *manyKeys) beginPlanned() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isPlanned = false
	m.begin()
}

// begin must have the lock.
func (m *manyKeys) begin() {
	// Not for callers that have left, nor under leases that are lost.
	batch := slices.DeleteFunc(m.waiting, func(its *waitingKey) bool { return its.ctx.Err() != nil })
	m.waiting = nil
	if len(batch) > 0 {
		// The user's code. No caller waits for it whose lease is lost.
		go m.run(batch)
	}
}

// run rebuilds several keys by one call. A panic is the error of each of them, and so is the end of its goroutine.
func (m *manyKeys) run(batch []*waitingKey) {
	ctx, end := m.contextOf(batch)
	defer end()
	of, err := func(string) ([]byte, error) { return nil, errEnded }, error(nil)
	defer func() {
		for _, its := range batch {
			its.made <- keyMadeBy(of, its.key, err)
		}
	}()
	defer recoverAs(&err)
	keys := make([]string, len(batch))
	for at, its := range batch {
		keys[at] = its.key
	}
	slices.Sort(keys)
	if made, failed := m.rebuild(ctx, keys); failed != nil {
		err = failed
	} else {
		of = made
	}
}

func keyMadeBy(of func(string) ([]byte, error), key string, err error) (its keyMade) {
	if err != nil {
		return keyMade{err: err}
	}
	defer recoverAs(&its.err)
	its.value, its.err = of(key)
	return its
}

type keyContexts struct{}

// contextOf returns the context of a rebuild of several keys. It ends when those of all keys have ended, with the cause
// of the last one.
func (m *manyKeys) contextOf(batch []*waitingKey) (context.Context, func()) {
	first := batch[0].ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(first))
	var left atomic.Int64
	left.Store(int64(len(batch)))
	forgets := make([]func() bool, len(batch))
	contexts, among := make(map[string]context.Context), make(map[valueID]struct{})
	var slots storingSlots
	for at, its := range batch {
		forgets[at] = context.AfterFunc(its.ctx, func() {
			if left.Add(-1) == 0 {
				cancel(context.Cause(its.ctx))
			}
		})
		contexts[its.key] = its.ctx
		among[valueIDOf(m.namespace, its.key)] = struct{}{}
		if slot, ok := its.ctx.Value(storingKey{}).(*storingSlot); ok {
			slots = append(slots, slot)
		}
	}
	its, _ := first.Value(rebuildingKey{}).(*rebuilding)
	ctx = context.WithValue(ctx, rebuildingKey{}, &rebuilding{client: m.client, among: among, outer: its})
	ctx = context.WithValue(withLease(ctx, Lease{}), storingKey{}, slots)
	ctx = context.WithValue(ctx, keyContexts{}, contexts)
	return ctx, func() {
		for _, forget := range forgets {
			forget()
		}
		cancel(errRebuilt)
	}
}

// ForKey returns the context of one key's rebuild, within a rebuild of [FetchMany] whose context is ctx. [LeaseFrom]
// returns the key's lease from it, and [ForValue] and [DoNotStore] apply to the key's own value. It ends when the key's
// lease is lost. Anywhere else, ForKey returns ctx itself.
func ForKey(ctx context.Context, key string) context.Context {
	contexts, _ := ctx.Value(keyContexts{}).(map[string]context.Context)
	if its, ok := contexts[key]; ok {
		return its
	}
	return ctx
}
