package dibs

import (
	"context"
	"sync"
	"sync/atomic"
)

// lifetime is the lifetime of a client. Background work is told when it ends, and is then waited for.
type lifetime struct {
	over context.Context
	end  context.CancelCauseFunc
	// isClosed is the same without a lock.
	isClosed atomic.Bool

	mu      sync.Mutex
	running sync.WaitGroup
	// behind counts the work that no caller waits for. idle is closed when there is none.
	behind int
	idle   chan struct{}
}

func newLifetime() *lifetime {
	over, end := context.WithCancelCause(context.Background())
	idle := make(chan struct{})
	close(idle)
	return &lifetime{over: over, end: end, idle: idle}
}

// enter begins something that leave ends, or reports that it is too late.
func (l *lifetime) enter() (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over.Err() != nil {
		return nil, errClosed
	}
	l.running.Add(1)
	return l.running.Done, nil
}

// isOver is for code that needs only memory that stays.
func (l *lifetime) isOver() bool { return l.isClosed.Load() }

// spawn runs work that may outlast its caller, which must have entered.
func (l *lifetime) spawn(run func()) { l.running.Go(run) }

// spawnLate is spawn for callers that have not entered. Nothing runs if it is too late.
func (l *lifetime) spawnLate(run func()) {
	leave, err := l.enter()
	if err != nil {
		return
	}
	l.spawn(func() {
		defer leave()
		run()
	})
}

// spawnBehind runs work that only flush waits for.
func (l *lifetime) spawnBehind(run func()) {
	l.mu.Lock()
	if l.behind == 0 {
		l.idle = make(chan struct{})
	}
	l.behind++
	l.mu.Unlock()
	l.spawn(func() {
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.behind--
			if l.behind == 0 {
				close(l.idle)
			}
		}()
		run()
	})
}

// flush waits until no background work runs, or ctx ends.
func (l *lifetime) flush(ctx context.Context) error {
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return gone(ctx)
	}
}

// detached has the values of ctx, but ends by cancel or with the client.
func (l *lifetime) detached(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	forget := context.AfterFunc(l.over, func() { cancel(errClosed) })
	return ctx, func(cause error) {
		forget()
		cancel(cause)
	}
}

// close ends what runs, and calls afterwards when that has ended. Only the first call has an effect.
func (l *lifetime) close(afterwards func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over.Err() != nil {
		return
	}
	l.isClosed.Store(true)
	l.end(errClosed)
	go func() {
		l.running.Wait()
		afterwards()
	}()
}
