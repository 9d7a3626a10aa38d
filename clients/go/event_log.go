package dibs

import (
	"context"
	"log/slog"
)

// logged adds hooks that also write to the log at level Debug: all events except hits, waits and publishes, which are
// frequent. So an application without hooks can still see why a call was slow.
func (h Hooks) logged(logger func() *slog.Logger) Hooks {
	log := func(happened string, its Event, more ...any) {
		logger().Log(context.Background(), slog.LevelDebug, happened,
			append([]any{"namespace", valueIDOf(its.Namespace, its.Key).namespace, "key", its.Key}, more...)...)
	}
	h.LeaseLost = both(h.LeaseLost, func(e LeaseLostEvent) {
		log("dibs: the lease was lost while its rebuild ran; its result is not stored", e.Event)
	})
	h.LocalRebuild = both(h.LocalRebuild, func(e LocalRebuildEvent) {
		log("dibs: this process rebuilds by itself, because the service cannot be reached", e.Event, "error", textOf(e.Cause))
	})
	h.Undecodable = both(h.Undecodable, func(e UndecodableEvent) {
		log("dibs: the cached value cannot be read, and counts as a miss", e.Event, "error", textOf(e.Err))
	})
	h.NotStorable = both(h.NotStorable, func(e NotStorableEvent) {
		log("dibs: the value is beyond a bound, and is not stored", e.Event, "error", textOf(e.Err))
	})
	h.BackgroundError = both(h.BackgroundError, func(e BackgroundErrorEvent) {
		log("dibs: an error that no caller got", e.Event, "error", textOf(e.Err))
	})
	return h
}

// both calls one hook after the other. The fault of one does not affect the other.
func both[E any](first, second func(E)) func(E) {
	return func(event E) {
		tell(first, event)
		tell(second, event)
	}
}
