package dibs

import (
	"context"
	"sync"
)

// flights joins equal calls inside one process: those who come while one is under way share its result. Each caller
// leaves by its own context; the call is cancelled when all have left.
type flights[K comparable] struct {
	life *lifetime

	mu       sync.Mutex
	underWay map[K]*flight
}

type flight struct {
	cancel  context.CancelCauseFunc
	callers int

	// Written once, before landed is closed.
	landed chan struct{}
	value  []byte
	err    error
}

func newFlights[K comparable](life *lifetime) *flights[K] {
	return &flights[K]{life: life, underWay: make(map[K]*flight)}
}

// join is the result of the flight id, which begins with start where none is under way. Its caller must have entered
// the lifetime.
func (f *flights[K]) join(ctx context.Context, id K, start func(context.Context) ([]byte, error)) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, gone(ctx)
	}
	mine := f.board(ctx, id, start)
	select {
	case <-mine.landed:
		return mine.value, mine.err
	case <-ctx.Done():
		f.leave(id, mine)
		return nil, gone(ctx)
	}
}

func (f *flights[K]) board(ctx context.Context, id K, start func(context.Context) ([]byte, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.underWay[id]
	if ok {
		known.callers++
		return known
	}
	ctx, cancel := f.life.detached(ctx)
	begun := &flight{cancel: cancel, callers: 1, landed: make(chan struct{})}
	f.underWay[id] = begun
	f.life.spawn(func() {
		defer f.land(id, begun)
		begun.value, begun.err = start(ctx)
	})
	return begun
}

func (f *flights[K]) land(id K, landed *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(id, landed)
	landed.cancel(nil)
	close(landed.landed)
}

func (f *flights[K]) leave(id K, left *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left.callers--
	if left.callers > 0 {
		return
	}
	// Whoever comes from now on must not join what is being cancelled.
	f.forget(id, left)
	left.cancel(errGone)
}

// forget drops only the flight that is still its own: another may have begun since this one was abandoned.
func (f *flights[K]) forget(id K, flight *flight) {
	if f.underWay[id] == flight {
		delete(f.underWay, id)
	}
}
