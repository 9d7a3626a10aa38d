package dibs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ValueOption is an option that a rebuild may set for the value that it returns, see [ForValue].
type ValueOption interface {
	SetOption
	isOfValue()
}

// storing is how a value is stored.
type storing struct {
	ttl       duration
	staleFor  duration
	absentTTL duration
	tags      []string
	// refusal is why the value is not stored; errNotStored if its rebuild asks for that.
	refusal error
}

// storingSlot is where a rebuild sets how its value is stored.
type storingSlot struct {
	mu  sync.Mutex
	its storing
}

func (s *storingSlot) get() storing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.its
}

type storingKey struct{}

// storingSlots are the slots of several keys that are rebuilt together.
type storingSlots []*storingSlot

func withStoring(ctx context.Context, slot *storingSlot) context.Context {
	return context.WithValue(ctx, storingKey{}, slot)
}

// errNotStored: the rebuild asks not to store its value.
var errNotStored = errors.New("dibs: the rebuild does not want its value to be stored")

// ForValue sets, within a rebuild, how the returned value is stored: its TTL, its stale time and its tags, instead of
// the options of the [Fetch]. ctx is the rebuild's context. ForValue fails outside of a rebuild, and for an option out
// of its bounds. The value is then not stored: the waiting callers get it, and the hook NotStorable gets the reason.
// Within a rebuild of [FetchMany] it applies to all values, or to one value with the context of [ForKey].
func ForValue(ctx context.Context, options ...ValueOption) error {
	return storingOf(ctx, func(its *storing) error {
		f := fetchOptions{storing: *its}
		for _, option := range options {
			option.applyToFetch(&f)
		}
		if err := f.storing.refused(); err != nil {
			its.refusal = err
			return err
		}
		*its = f.storing
		return nil
	})
}

// DoNotStore, within a rebuild, keeps the returned value from being stored. The waiting callers get it, and the next
// caller rebuilds. It fails outside of a rebuild.
func DoNotStore(ctx context.Context) error {
	return storingOf(ctx, func(its *storing) error {
		its.refusal = errNotStored
		return nil
	})
}

func storingOf(ctx context.Context, change func(*storing) error) error {
	switch its := ctx.Value(storingKey{}).(type) {
	case *storingSlot:
		return its.change(change)
	case storingSlots:
		for _, slot := range its {
			if err := slot.change(change); err != nil {
				return err
			}
		}
		return nil
	default:
		return invalid("context: is not that of a rebuild of dibs.Fetch")
	}
}

func (s *storingSlot) change(change func(*storing) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return change(&s.its)
}

// ttlOf returns how long a result is fresh.
func (s storing) ttlOf(isAbsent bool) time.Duration {
	if isAbsent {
		return s.absentTTL.or(s.ttl.Duration)
	}
	return s.ttl.Duration
}
