package dibs

import "time"

// Hooks receive what happens, for your own metrics. They run synchronously, so a slow one delays the call. A panic in
// one does no harm. One that ends its goroutine, like the FailNow of a test, fails the call.
type Hooks struct {
	// Hit: a value was found.
	Hit func(HitEvent)
	// Wait: a wait for another caller's rebuild has ended, with or without an answer.
	Wait func(WaitEvent)
	// Publish: the result of a publish, usually "stored".
	Publish func(PublishEvent)
	// LeaseLost: the lease of a rebuild was lost during the rebuild.
	LeaseLost func(LeaseLostEvent)
	// LocalRebuild: the service could not be reached, so this process rebuilds for itself.
	LocalRebuild func(LocalRebuildEvent)
	// Undecodable: a cached value could not be read, and is rebuilt.
	Undecodable func(UndecodableEvent)
	// NotStorable: a result exceeds a bound of the service. Its own callers have it, and no others get it.
	NotStorable func(NotStorableEvent)
	// BackgroundError: a publish or a release failed, or a rebuild behind a stale value did. No caller got an error.
	BackgroundError func(BackgroundErrorEvent)
}

// Event is common to all events: the value that it is about.
type Event struct {
	// Namespace is empty for the service's default.
	Namespace string
	Key       string
}

// HitEvent is a value that was found.
type HitEvent struct {
	Event
	// Freshness is "fresh" or "stale".
	Freshness string
	// IsNear reports that it was in this process's near cache.
	IsNear bool
}

// WaitEvent is a wait for another caller's rebuild.
type WaitEvent struct {
	Event
	Waited   time.Duration
	Answered bool
}

// PublishEvent is the result of a publish.
type PublishEvent struct {
	Event
	// Outcome is "stored", "stored_late", "duplicate", "superseded", "invalidated", "unknown_lease", "not_stored", or
	// "unspecified" for an outcome of a later service.
	Outcome string
	// Fence is the fence of the value that is stored now; 0 if there is none.
	Fence int64
	// Counts reports whether the value was still valid when it was stored; nil if the service does not say.
	Counts *bool
	// MaybeStored: the outcome is "not_stored", but the value may be stored anyway, and be read later.
	MaybeStored bool
}

// LeaseLostEvent is a lease that was lost during its rebuild.
type LeaseLostEvent struct{ Event }

// LocalRebuildEvent is a rebuild without the service.
type LocalRebuildEvent struct {
	Event
	// Cause is why the service could not be reached.
	Cause error
}

// UndecodableEvent is a value that could not be read.
type UndecodableEvent struct {
	Event
	// Err is the codec's error.
	Err error
}

// NotStorableEvent is a result that exceeds a bound.
type NotStorableEvent struct {
	Event
	// Err names the bound.
	Err error
}

// BackgroundErrorEvent is an error that no caller got.
type BackgroundErrorEvent struct {
	Event
	Err error
}

// tell calls a hook and contains its fault.
func tell[E any](hook func(E), event E) {
	if hook == nil {
		return
	}
	// A user's panicking counter must not fail the user's request.
	defer func() { _ = recover() }()
	hook(event)
}
