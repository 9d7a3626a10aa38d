package dibs

import (
	"context"
	"time"
)

// runningRebuild is a rebuild under a lease in this process. Callers may join it with any options until its result is
// published: a publish that is stored, then invalidated, and only then answered must not feed a caller that came after
// the invalidation.
type runningRebuild struct {
	id valueID
	// flight is the flight whose callers it runs for; nil behind a stale value, where it ends by itself.
	flight *flight
	// hasPrevious: the service has a stale value for callers that accept one.
	hasPrevious bool
	// stale is the holder's option. With [StaleForbid], its lease comes without the stale value that there may be.
	stale Stale
	// isRefresh: the service may have a fresh value meanwhile.
	isRefresh bool
	// sentAt is when the request for the lease was sent.
	sentAt time.Time

	// Written once, before ended is closed.
	ended  chan struct{}
	result result
}

// leased is called when a lease came for the flight. Changes since its request was sent may be newer than the lease.
func (f *flights) leased(its *flight, running *runningRebuild) {
	f.mu.Lock()
	defer f.mu.Unlock()
	running.sentAt = its.sentAt
	if running.flight == nil {
		f.close(its)
	} else {
		f.beginRebuilding(its)
	}
	if !its.isOvertaken && (running.flight == nil || its.callers > 0) {
		f.rebuilds[running.id] = running
	}
}

// seal lets no other caller join the rebuild.
func (f *flights) seal(running *runningRebuild) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rebuilds[running.id] == running {
		delete(f.rebuilds, running.id)
	}
}

func (f *flights) end(running *runningRebuild, with result) {
	f.seal(running)
	running.result = with
	close(running.ended)
}

// joiner is what a caller wants of a rebuild.
type joiner struct {
	stale Stale
	// acceptsStale: it need not wait for the rebuild if there is a stale value.
	acceptsStale bool
	// isAnew: it has the value that there is, and cannot read it.
	isAnew bool
}

// boardRebuild returns the rebuild that the caller may join; nil if there is none.
func (f *flights) boardRebuild(id valueID, by joiner) *runningRebuild {
	f.mu.Lock()
	defer f.mu.Unlock()
	running := f.rebuilds[id]
	if running == nil || running.mayBeAnswered(by) {
		return nil
	}
	if running.flight != nil {
		running.flight.callers++
	}
	return running
}

// mayBeAnswered reports whether the service may have a value for the caller at once: a fresh one beside a refresh, or a
// stale one. If the holder has another option for stale values, its lease does not say whether there is one.
func (r *runningRebuild) mayBeAnswered(by joiner) bool {
	switch {
	case by.isAnew:
		return false
	case r.isRefresh:
		return true
	case !by.acceptsStale:
		return false
	default:
		return r.hasPrevious || (r.stale != StaleAllow && r.stale != by.stale)
	}
}

// joinRebuild returns the rebuild's result for a caller that came after its lease. The caller asks again if the result
// does not count, or may not.
func (f *flights) joinRebuild(ctx context.Context, until time.Time, running *runningRebuild) (got result, asksAgain bool) {
	err := await(ctx, until, running.ended)
	if running.flight != nil {
		f.leave(running.flight)
	}
	switch {
	case err != nil:
		return result{err: err}, false
	case running.result.isShared:
		return running.result, false
	default:
		return result{}, true
	}
}
