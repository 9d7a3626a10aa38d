package dibs

import (
	"context"
	"sync"
	"time"
)

const (
	// keptFor is how long the result of a local rebuild is used at most. A hot key costs its source one rebuild in that
	// time, and changes need not be received.
	keptFor = 5 * time.Second
	// keptMax bounds their memory.
	keptMax = 1000
)

// localRebuilds are this process's rebuilds while the service cannot be reached, one at a time for each value.
type localRebuilds struct {
	life *lifetime

	mu      sync.Mutex
	running map[valueID]*localRebuild
	kept    map[valueID]*keptResult
}

type localRebuild struct {
	began   time.Time
	cancel  context.CancelCauseFunc
	callers int

	// Written once, before ended is closed.
	ended  chan struct{}
	result result
}

type keptResult struct {
	result result
	until  time.Time
}

func newLocalRebuilds(life *lifetime) *localRebuilds {
	return &localRebuilds{life: life, running: make(map[valueID]*localRebuild), kept: make(map[valueID]*keptResult)}
}

// recent returns a result that was rebuilt a moment ago.
func (l *localRebuilds) recent(id valueID) (result, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, ok := l.kept[id]
	if !ok || !time.Now().Before(kept.until) {
		return result{}, false
	}
	return kept.result, true
}

// localCall is what one call needs of a local rebuild.
type localCall struct {
	id    valueID
	until time.Time
	// newerThan: a rebuild that began earlier is too old for it. Zero: no rebuild is too old.
	newerThan time.Time
	// joined is called when another call runs the rebuild.
	joined func()
	// start is the rebuild. It also returns how long the result may be kept.
	start func(context.Context) (result, time.Duration)
}

// join returns the result of the local rebuild of the value. It begins if none runs that is new enough. A caller that
// joins one waits until its own wait is over.
func (l *localRebuilds) join(ctx context.Context, call localCall) result {
	its, hasJoined := l.board(ctx, call)
	var err error
	if hasJoined {
		call.joined()
		err = await(ctx, call.until, its.ended)
	} else {
		select {
		case <-its.ended:
		case <-ctx.Done():
			err = gone(ctx)
		}
	}
	if err != nil {
		l.leave(call.id, its)
		return result{err: err}
	}
	return its.result
}

func (l *localRebuilds) board(ctx context.Context, call localCall) (its *localRebuild, hasJoined bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.running[call.id]; ok && known.began.After(call.newerThan) {
		known.callers++
		return known, true
	}
	ctx, cancel := l.life.detached(ctx)
	begun := &localRebuild{began: time.Now(), cancel: cancel, callers: 1, ended: make(chan struct{})}
	// From now on callers join this one, because it is newer.
	l.running[call.id] = begun
	l.life.spawn(func() {
		its, keep := result{err: errHookEnded}, time.Duration(0)
		// Also if a hook has ended this goroutine.
		defer func() { l.end(call.id, begun, its, keep) }()
		its, keep = call.start(ctx)
	})
	return begun, false
}

// end keeps the result, unless something has changed since the rebuild began.
func (l *localRebuilds) end(id valueID, ended *localRebuild, with result, keep time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended.result = with
	ended.cancel(nil)
	close(ended.ended)
	if l.running[id] != ended {
		return
	}
	delete(l.running, id)
	if keep = min(keep, keptFor); keep > 0 {
		delete(l.kept, id)
		if len(l.kept) < keptMax {
			l.keep(id, with, keep)
		}
	}
}

func (l *localRebuilds) keep(id valueID, what result, keep time.Duration) {
	kept := &keptResult{what, time.Now().Add(keep)}
	l.kept[id] = kept
	time.AfterFunc(keep, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.kept[id] == kept {
			delete(l.kept, id)
		}
	})
}

func (l *localRebuilds) leave(id valueID, left *localRebuild) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left.callers--
	if left.callers > 0 {
		return
	}
	// Newcomers must not join work that is being cancelled.
	l.forgetRunning(id, left)
	left.cancel(errGone)
}

func (l *localRebuilds) forgetRunning(id valueID, its *localRebuild) {
	if l.running[id] == its {
		delete(l.running, id)
	}
}

// changed drops what is older than a change. No other caller joins a running rebuild, and its result is not kept.
func (l *localRebuilds) changed(what change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !what.reachesAll() {
		for _, key := range what.keys {
			delete(l.kept, valueID{what.namespace, key})
			delete(l.running, valueID{what.namespace, key})
		}
		return
	}
	for id := range l.kept {
		if id.namespace == what.namespace {
			delete(l.kept, id)
		}
	}
	for id := range l.running {
		if id.namespace == what.namespace {
			delete(l.running, id)
		}
	}
}

// forget drops all results, because the service answers again or has welcomed a session. No other caller joins a
// running rebuild, and its result is not kept.
func (l *localRebuilds) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.kept)
	clear(l.running)
}
