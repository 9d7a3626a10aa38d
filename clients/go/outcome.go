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
	// isAbsent: the source has nothing; err is the error of its rebuild, or [ErrAbsent].
	isAbsent bool
	err      error
	// fence is the fence of a value that was found.
	fence int64
	// source is where a found value came from, and isStale whether it was stale.
	source  hitSource
	isStale bool
	// isLost: the lease was lost during the rebuild, so the service is asked again.
	isLost bool
	// isShared: callers that came after the lease may have it too.
	isShared bool
}

// isFailure reports whether it is neither a value nor an absence.
func (r result) isFailure() bool { return r.err != nil && !r.isAbsent }

// made is the result of a rebuild, with everything that is read from its error. That is the user's code, which is
// called only where its panic is caught.
type made struct {
	value    []byte
	isAbsent bool
	// err is the rebuild's own.
	err     error
	message string
	backOff *int64
	storing storing
}

// madeBy reads the result of a rebuild.
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

// absence reports whether an error means that the source has nothing under this key. The absence that a [Fetch] of
// another key returned within the rebuild does not, and must not look so to the callers of this one.
func absence(err error) (isAbsent bool, its error) {
	its = err
	// An error's own Is or Unwrap may panic, like any code of the user.
	defer func() { _ = recover() }()
	if !errors.Is(err, ErrAbsent) {
		return false, err
	}
	if _, isOfAnother := as[*absentError](err); isOfAnother {
		return false, hiddenAbsence{err}
	}
	return true, err
}

// absentError is what [Fetch] returns if the source has nothing: [ErrAbsent] with its key.
type absentError struct {
	error
	id valueID
}

func (e *absentError) Unwrap() error { return e.error }

// hiddenAbsence is its error without the absence of another key.
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

// textOf returns an error's message, even if that panics, as with a nil pointer.
func textOf(err error) (text string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			text = fmt.Sprintf("an error of type %T, whose text cannot be read: %v", err, panicked)
		}
	}()
	return err.Error()
}

// ReentrantRebuildError is a rebuild that asks for its own key, directly or through the rebuild of another. It would
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

// rebuilding is the rebuild that a context belongs to, within the rebuild of outer.
type rebuilding struct {
	client *Client
	id     valueID
	// among are the keys of a rebuild of several keys.
	among map[valueID]struct{}
	outer *rebuilding
}

func withRebuilding(ctx context.Context, client *Client, id valueID) context.Context {
	outer, _ := ctx.Value(rebuildingKey{}).(*rebuilding)
	return context.WithValue(ctx, rebuildingKey{}, &rebuilding{client: client, id: id, outer: outer})
}

// reentry returns the error of a call within the rebuild of its own key.
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

// retrySoon is when a caller should retry whose wait ended at a rebuild of its own process.
const retrySoon = 100 * time.Millisecond

// waitEnded: the caller's wait is over, and a rebuild in this process still runs.
func waitEnded() *BusyError { return &BusyError{Reason: BusyWaitEnded, retryAfter: retrySoon} }
