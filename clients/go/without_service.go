package dibs

import (
	"context"
	"time"
)

// withoutService: the service cannot be reached. It runs one rebuild at a time in this process, or returns the error.
func (l *fetchLoop) withoutService(ctx context.Context, its *flight, cause *Error) result {
	l.presence.lost(cause)
	rebuilds := !l.isGet && l.onUnavailable != OnUnavailableFail
	newerThan := l.calledAt
	if !l.refresh && l.read != ReadStore {
		newerThan = time.Time{}
		if recent, ok := l.local.recent(l.id); ok && rebuilds {
			return recent
		}
		if last, ok := l.nearLast(); ok {
			return last
		}
	}
	if !rebuilds {
		return result{err: cause}
	}
	l.flights.rebuildsHere(its)
	return l.local.join(ctx, localCall{l.id, l.until, newerThan, l.rebuildsElsewhere, l.rebuildLocally(cause)})
}

// rebuildsElsewhere: another call rebuilds the key. The other keys of its call do not wait for that.
func (l *fetchLoop) rebuildsElsewhere() { l.many.settle(l.id.key) }

func (l *fetchLoop) rebuildLocally(cause *Error) func(context.Context) (result, time.Duration) {
	return func(ctx context.Context) (result, time.Duration) {
		l.metrics.count(l.metrics.localRebuilds, l.id.namespace)
		tell(l.config.hooks.LocalRebuild, LocalRebuildEvent{l.event(), cause})
		var made made
		select {
		case made = <-l.guarded(withLease(ctx, Lease{Reason: "local", codec: l.codec})):
		case <-l.life.over.Done():
			return result{err: errClosed}, 0
		}
		keep := made.storing.ttlOf(made.isAbsent)
		if made.storing.refusal != nil || (made.err != nil && !made.isAbsent) {
			keep = 0
		}
		return result{value: made.value, isAbsent: made.isAbsent, err: made.err}, keep
	}
}

// nearLast returns the value that was fresh when the service last answered, as stale.
func (l *fetchLoop) nearLast() (result, bool) {
	if l.near == nil || l.stale == StaleForbid {
		return result{}, false
	}
	last, ok := l.near.last(l.id)
	if ok {
		last.source, last.isStale = hitNear, true
		tell(l.config.hooks.Hit, HitEvent{l.event(), "stale", true})
	}
	return last, ok
}
