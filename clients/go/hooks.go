package dibs

import "time"

// Hooks hear what happens, for a user's own metrics. They are called where it happens: a slow one is waited for.
// One that panics does no harm.
type Hooks struct {
	// Hit: a value was there.
	Hit func(HitEvent)
	// Wait: the caller waited for another caller's rebuild, with or without an answer in the end.
	Wait func(WaitEvent)
	// Publish: what became of a result that was handed over; "stored" is the rule.
	Publish func(PublishEvent)
	// LeaseLost: the lease of a rebuild was lost while it ran.
	LeaseLost func(LeaseLostEvent)
	// LocalRebuild: the service could not be reached, so that this process rebuilds for itself.
	LocalRebuild func(LocalRebuildEvent)
	// Undecodable: a value that is cached could not be read, and is rebuilt.
	Undecodable func(UndecodableEvent)
	// NotStorable: a result is beyond a bound of the service. Its own callers have it, and no other will.
	NotStorable func(NotStorableEvent)
	// BackgroundError: a result could not be handed over, a lease not be given back, or a rebuild behind a stale
	// value failed: no caller was told by an error.
	BackgroundError func(BackgroundErrorEvent)
}

// Event is what every event says: which value it is about.
type Event struct {
	// Namespace is empty for the service's default.
	Namespace string
	Key       string
}

// HitEvent is a value that was there.
type HitEvent struct {
	Event
	// Freshness is "fresh" or "stale".
	Freshness string
	// IsNear: it was in this process's near cache.
	IsNear bool
}

// WaitEvent is a wait for another caller's rebuild.
type WaitEvent struct {
	Event
	Waited   time.Duration
	Answered bool
}

// PublishEvent is a result that was handed over.
type PublishEvent struct {
	Event
	// Outcome is "stored", "stored_late", "duplicate", "superseded", "invalidated", "unknown_lease", "not_stored", or
	// "unspecified" for what a later service says.
	Outcome string
	// Fence is that under which the key's value is now stored; 0 if there is none.
	Fence int64
	// Counts is whether the value was still valid when it was stored; nil where the service does not say.
	Counts *bool
	// MaybeStored: the outcome is "not_stored", and the value may still be stored, and be read later.
	MaybeStored bool
}

// LeaseLostEvent is a lease that was lost while its rebuild ran.
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
	// Err is the codec's.
	Err error
}

// NotStorableEvent is a result that is beyond a bound.
type NotStorableEvent struct {
	Event
	// Err names the bound.
	Err error
}

// BackgroundErrorEvent is an error that no caller was told of.
type BackgroundErrorEvent struct {
	Event
	Err error
}

// tell calls a hook so that its fault stays its own.
func tell[E any](hook func(E), event E) {
	if hook == nil {
		return
	}
	// A user's counter that panics must not fail the user's request.
	defer func() { _ = recover() }()
	hook(event)
}
