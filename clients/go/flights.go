package dibs

import (
	"context"
	"sync"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// valueID identifies a value. Its namespace is never empty.
type valueID struct{ namespace, key string }

// flights are the calls of this process that several callers share. A flight has three stages:
//
//  1. Its request is not sent yet: callers with equal options join.
//  2. Its request is under way: callers with equal options join only while a live session watches the namespace and no
//     change of the value has arrived since. Without a watch a value may have been invalidated since the request was
//     sent, and an answer from before must not be given to a caller that came after.
//  3. A lease came and the rebuild runs here: callers join with any options, see [runningRebuild].
type flights struct {
	life *lifetime
	// watches reports whether a live session reports every change in the namespace.
	watches func(namespace string) bool
	// near is nil without a near cache.
	near *nearCache

	mu sync.Mutex
	// open are the flights of stages 1 and 2 that callers may join.
	open map[fetchID]*flight
	// underWay are all flights that have not landed.
	underWay map[valueID]map[*flight]struct{}
	// rebuilds are the rebuilds that callers may join.
	rebuilds map[valueID]*runningRebuild
}

type flight struct {
	id     fetchID
	cancel context.CancelCauseFunc
	// rebuilding is closed when a rebuild begins in this process. It may take any time, so from then on callers that
	// joined wait no longer than their own wait.
	rebuilding chan struct{}

	// Guarded by the lock of the flights.
	callers      int
	isSent       bool
	isWatched    bool
	isOvertaken  bool
	isRebuilding bool
	// sentAt is when its last request was sent.
	sentAt time.Time

	// Written once, before landed is closed.
	landed chan struct{}
	result result
}

func newFlights(life *lifetime, watches func(namespace string) bool) *flights {
	return &flights{
		life:     life,
		watches:  watches,
		open:     make(map[fetchID]*flight),
		underWay: make(map[valueID]map[*flight]struct{}),
		rebuilds: make(map[valueID]*runningRebuild),
	}
}

// join returns the result of the flight id, which begins with start if none can be joined, and whether another caller
// began it. The caller must have entered the lifetime.
func (f *flights) join(ctx context.Context, id fetchID, until time.Time, start func(context.Context, *flight) result) (got result, hasJoined bool) {
	if ctx.Err() != nil {
		return result{err: gone(ctx)}, false
	}
	mine, hasJoined := f.board(ctx, id, start)
	if !hasJoined {
		select {
		case <-mine.landed:
			return mine.result, false
		case <-ctx.Done():
			f.leave(mine)
			return result{err: gone(ctx)}, false
		}
	}
	if err := f.awaitJoined(ctx, mine, until); err != nil {
		f.leave(mine)
		return result{err: err}, true
	}
	return mine.result, true
}

// awaitJoined: the request has the wait of its options, so its answer comes in time by itself. A rebuild does not.
func (f *flights) awaitJoined(ctx context.Context, joined *flight, until time.Time) error {
	over, stop := alarm(ctx, until.Add(answerWay))
	defer stop()
	select {
	case <-joined.landed:
		return nil
	case <-ctx.Done():
		return gone(ctx)
	case <-over:
		return waitEnded()
	case <-joined.rebuilding:
		return await(ctx, until, joined.landed)
	}
}

func (f *flights) board(ctx context.Context, id fetchID, start func(context.Context, *flight) result) (its *flight, hasJoined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.open[id]
	// No event reports a session that broke silently, so the watch is checked at each joining.
	if ok && !id.isAlone && (!known.isSent || (known.isWatched && f.watches(id.namespace))) {
		known.callers++
		return known, true
	}
	ctx, cancel := f.life.detached(ctx)
	begun := &flight{id: id, cancel: cancel, callers: 1, rebuilding: make(chan struct{}), landed: make(chan struct{})}
	if !id.isAlone {
		f.open[id] = begun
	}
	if f.underWay[id.valueID] == nil {
		f.underWay[id.valueID] = make(map[*flight]struct{})
	}
	f.underWay[id.valueID][begun] = struct{}{}
	f.life.spawn(func() {
		its := result{err: errHookEnded}
		// Also if a hook has ended this goroutine.
		defer func() { f.land(begun, its) }()
		its = start(ctx, begun)
	})
	return begun, false
}

// asks begins a request of the flight. Changes before it is sent are older than its answer.
func (f *flights) asks(its *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	its.isSent, its.isOvertaken = false, false
}

// sent is called when the flight's request is passed to the transport. isWatched: that transport reports changes.
func (f *flights) sent(its *flight, isWatched bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	its.isSent, its.isWatched, its.sentAt = true, isWatched, time.Now()
}

// rebuildsHere is called when the flight waits for a rebuild in this process.
func (f *flights) rebuildsHere(its *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beginRebuilding(its)
}

// fill keeps a hit in this process, unless something has changed since the flight's request was sent.
func (f *flights) fill(its *flight, hit *dibsv1.Hit, got result) {
	if f.near == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if its.isWatched && !its.isOvertaken {
		f.near.fill(its.id.valueID, hit, got, its.sentAt)
	}
}

func (f *flights) beginRebuilding(its *flight) {
	f.close(its)
	if !its.isRebuilding {
		its.isRebuilding = true
		close(its.rebuilding)
	}
}

func (f *flights) land(landed *flight, with result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(landed)
	its := f.underWay[landed.id.valueID]
	delete(its, landed)
	if len(its) == 0 {
		delete(f.underWay, landed.id.valueID)
	}
	landed.cancel(nil)
	landed.result = with
	close(landed.landed)
}

func (f *flights) leave(left *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left.callers--
	if left.callers > 0 {
		return
	}
	// Newcomers must not join work that is being cancelled.
	f.close(left)
	if running := f.rebuilds[left.id.valueID]; running != nil && running.flight == left {
		delete(f.rebuilds, left.id.valueID)
	}
	left.cancel(errGone)
}

// close lets no other caller join in stages 1 and 2. Another flight may have opened since this one was closed.
func (f *flights) close(its *flight) {
	if f.open[its.id] == its {
		delete(f.open, its.id)
	}
}

// change is what has changed, or may have changed, in a namespace.
type change struct {
	namespace string
	keys      []string
	tags      []string
	isAll     bool
}

// reachesAll: the tags of an unanswered call are unknown.
func (c change) reachesAll() bool { return c.isAll || len(c.tags) > 0 }

// changed closes what is older than the change to newcomers. Earlier callers keep their result.
func (f *flights) changed(what change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.near != nil {
		f.near.changed(what)
	}
	if !what.reachesAll() {
		for _, key := range what.keys {
			f.overtake(valueID{what.namespace, key})
		}
		return
	}
	f.overtakeWhere(func(id valueID) bool { return id.namespace == what.namespace })
}

// changedAll: changes may have been missed, because a session broke, has just begun, or was not read for too long.
func (f *flights) changedAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.near != nil {
		f.near.missed()
	}
	f.overtakeWhere(func(valueID) bool { return true })
}

func (f *flights) overtakeWhere(concerns func(valueID) bool) {
	for id := range f.underWay {
		if concerns(id) {
			f.overtake(id)
		}
	}
	for id := range f.rebuilds {
		if concerns(id) {
			f.overtake(id)
		}
	}
}

func (f *flights) overtake(id valueID) {
	for its := range f.underWay[id] {
		if its.isSent {
			its.isOvertaken = true
			f.close(its)
		}
	}
	delete(f.rebuilds, id)
}

// alarm rings at that time. A context that ends before it makes a timer needless: with hundreds of waiters, their timers
// cost a third of their CPU time.
func alarm(ctx context.Context, at time.Time) (rings <-chan time.Time, stop func()) {
	if deadline, ok := ctx.Deadline(); ok && !deadline.After(at) {
		return nil, func() {}
	}
	timer := time.NewTimer(time.Until(at))
	return timer.C, func() { timer.Stop() }
}

// await waits for done, at most until the caller's own wait is over or its context ends.
func await(ctx context.Context, until time.Time, done <-chan struct{}) error {
	over, stop := alarm(ctx, until)
	defer stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return gone(ctx)
	case <-over:
	}
	select {
	case <-done:
		return nil
	default:
		return waitEnded()
	}
}
