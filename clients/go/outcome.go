package dibs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// result is how a call ended.
type result struct {
	value []byte
	// isAbsent: the source has nothing; err is what its rebuild returned, or [ErrAbsent].
	isAbsent bool
	err      error
	// fence is that of a value that was there.
	fence int64
	// source is where a value came from that was there, and isStale how good it was then.
	source  hitSource
	isStale bool
	// isLost: the lease was lost while the rebuild ran, so that the service is asked again.
	isLost bool
	// isShared: callers that came after the lease may have it too.
	isShared bool
}

// isFailure says whether it is neither a value nor the knowledge that there is none.
func (r result) isFailure() bool { return r.err != nil && !r.isAbsent }

// made is what a rebuild has returned, with all that is read from its error: user's code, which is called only where
// a panic of it is caught.
type made struct {
	value    []byte
	isAbsent bool
	// err is the rebuild's own.
	err     error
	message string
	backOff *int64
	storing storing
}

// madeBy reads what a rebuild has returned.
func madeBy(value []byte, err error, storing storing) made {
	its := made{value: value, err: err, storing: storing}
	if err == nil {
		return its
	}
	its.isAbsent, its.err = absence(err)
	if !its.isAbsent {
		its.message = failureMessage(err)
		its.backOff = askedBackOff(err)
	}
	return its
}

// absence says whether an error means that the source has nothing under this key. What a [Fetch] of another key has
// returned within the rebuild is no such thing, and must not look like it to the callers of this one.
func absence(err error) (isAbsent bool, its error) {
	its = err
	// An error's own Is or Unwrap may panic, like any code of a user's.
	defer func() { _ = recover() }()
	if !errors.Is(err, ErrAbsent) {
		return false, err
	}
	if _, isOfAnother := as[*absentError](err); isOfAnother {
		return false, hiddenAbsence{err}
	}
	return true, err
}

// absentError is what [Fetch] returns where the source has nothing: [ErrAbsent] with its key.
type absentError struct {
	error
	id valueID
}

func (e *absentError) Unwrap() error { return e.error }

// hiddenAbsence is all that its error is, but for the absence of another key.
type hiddenAbsence struct{ error }

func (h hiddenAbsence) Is(target error) bool {
	return target != ErrAbsent && errors.Is(h.error, target)
}

func (h hiddenAbsence) As(target any) bool {
	if _, isAbsence := target.(**absentError); isAbsence {
		return false
	}
	return errors.As(h.error, target)
}

// textOf is an error's message. One that panics, such as that of a nil pointer, still has one.
func textOf(err error) (text string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			text = fmt.Sprintf("an error of type %T, whose text cannot be read: %v", err, panicked)
		}
	}()
	return err.Error()
}

// ReentrantRebuildError is a rebuild that asks for its own key, directly or through the rebuild of another: it would
// wait for itself.
type ReentrantRebuildError struct {
	// Namespace is "default" for the service's default.
	Namespace string
	Key       string
}

func (e *ReentrantRebuildError) Error() string {
	return `dibs: the rebuild of "` + e.Key + `" asks for "` + e.Key + `" itself`
}

type rebuildingKey struct{}

// rebuilding is the rebuild that a context belongs to, within that of outer.
type rebuilding struct {
	client *Client
	id     valueID
	// among are those of a rebuild of several keys.
	among map[valueID]struct{}
	outer *rebuilding
}

func withRebuilding(ctx context.Context, client *Client, id valueID) context.Context {
	outer, _ := ctx.Value(rebuildingKey{}).(*rebuilding)
	return context.WithValue(ctx, rebuildingKey{}, &rebuilding{client: client, id: id, outer: outer})
}

// reentry is the error of a call within the rebuild of its own key.
func reentry(ctx context.Context, client *Client, id valueID) error {
	its, _ := ctx.Value(rebuildingKey{}).(*rebuilding)
	for ; its != nil; its = its.outer {
		_, isAmong := its.among[id]
		if its.client == client && (its.id == id || isAmong) {
			return &ReentrantRebuildError{Namespace: id.namespace, Key: id.key}
		}
	}
	return nil
}

// comeBackSoon is when a caller should ask again whose wait ended at a rebuild of its own process.
const comeBackSoon = 100 * time.Millisecond

// waitEnded: the caller's wait is over, and a rebuild in this process still runs.
func waitEnded() *BusyError { return &BusyError{Reason: BusyWaitEnded, retryAfter: comeBackSoon} }
