package dibs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

var (
	// ErrAbsent is the error that a rebuild returns if the source has nothing under the key, and that [Fetch] returns
	// then. It is cached like any other value.
	ErrAbsent = errors.New("dibs: the source has nothing under this key")

	// ErrLeaseLost is the cause of a rebuild's ended context if its result would no longer be stored.
	ErrLeaseLost = errors.New("dibs: the lease was lost: it ran out, or the key was invalidated")

	// ErrNoPrevious is the error of [Lease.Previous] if no previous value is known.
	ErrNoPrevious = errors.New("dibs: no previous value is known")

	errClosed = &Error{Code: codes.Canceled, Message: "this client is closed", retryAfter: noRetry}
	errGone   = &Error{Code: codes.Canceled, Message: "the caller has gone", retryAfter: noRetry}
)

// noRetry means that a retry makes no sense, or that the service did not answer.
const noRetry = time.Duration(-1)

// Error is a call that ended without an outcome. For bad input the message begins with the field and gives its bounds.
// The functions of gRPC's package status can read its code.
type Error struct {
	Code    codes.Code
	Message string

	retryAfter time.Duration
	// isOwn: the client refused the call, so nothing was sent.
	isOwn bool
	cause error
}

func (e *Error) Error() string { return fmt.Sprintf("dibs: %s (%s)", e.Message, e.Code) }

// Unwrap returns the error of your own token function, if that is the cause.
func (e *Error) Unwrap() error { return e.cause }

// RetryAfter returns how long to wait before a retry; below 0 if a retry makes no sense or the service did not answer.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// GRPCStatus returns the error as a gRPC status.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// isUnreachable reports that no answer came. The service may be down, and it is unknown whether it did anything.
func (e *Error) isUnreachable() bool {
	return e.retryAfter < 0 && (e.Code == codes.Unavailable || e.Code == codes.DeadlineExceeded)
}

// BusyError is a wait that ended without an answer: another caller is still rebuilding, or no decision came.
type BusyError struct {
	Reason BusyReason
	// HolderAge is how long the holder has had its lease; 0 if there is no holder.
	HolderAge time.Duration

	retryAfter time.Duration
}

// BusyReason is why there is no answer.
type BusyReason string

// The reasons for no answer. [dibsv1.BusyReason] describes each.
const (
	BusyWaitEnded        BusyReason = "wait_ended"
	BusyDeadlineTooShort BusyReason = "deadline_too_short"
	BusyUndecided        BusyReason = "undecided"
	BusyBudget           BusyReason = "budget"
	BusyDraining         BusyReason = "draining"
	BusyNoValue          BusyReason = "no_value"
	BusyUnspecified      BusyReason = "unspecified"
)

func (e *BusyError) Error() string {
	return fmt.Sprintf("dibs: no answer within the wait (%s); retry in %v", e.Reason, e.retryAfter)
}

// RetryAfter returns how long to wait before a retry.
func (e *BusyError) RetryAfter() time.Duration { return e.retryAfter }

// RebuildFailedError reports that another caller's rebuild failed and that the key's back-off is running.
type RebuildFailedError struct {
	// Message is that caller's message.
	Message string

	retryAfter time.Duration
}

func (e *RebuildFailedError) Error() string {
	return "dibs: the rebuild failed elsewhere: " + e.Message
}

// RetryAfter returns the remaining back-off.
func (e *RebuildFailedError) RetryAfter() time.Duration { return e.retryAfter }

// PanicError is a rebuild that panicked. Its waiters are told, as with any other failure.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("dibs: the rebuild panicked: %v", e.Value) }

// BackOff returns err, for a rebuild, with how long the whole fleet should leave the source alone: 0 to 5 minutes. Any
// error with a method RetryAfter() time.Duration has the same effect.
func BackOff(err error, after time.Duration) error { return &backOff{err, after} }

type backOff struct {
	error
	after time.Duration
}

func (b *backOff) RetryAfter() time.Duration { return b.after }
func (b *backOff) Unwrap() error             { return b.error }

// errorOf returns the error of a gRPC call, with the retry time from its trailer.
func errorOf(err error, trailer metadata.MD) *Error {
	retryAfter := noRetry
	if hints := trailer.Get("grpc-retry-pushback-ms"); len(hints) > 0 {
		if ms, err := strconv.ParseInt(hints[0], 10, 64); err == nil && ms >= 0 {
			retryAfter = time.Duration(ms) * time.Millisecond
		}
	}
	known, _ := status.FromError(err)
	return &Error{Code: known.Code(), Message: known.Message(), retryAfter: retryAfter}
}

// callErrorOf returns the error of a call within a session.
func callErrorOf(err *dibsv1.CallError) *Error {
	retryAfter := noRetry
	if err.RetryAfterMs != nil {
		retryAfter = milliseconds(err.GetRetryAfterMs())
	}
	return &Error{Code: codes.Code(err.GetCode()), Message: err.GetMessage(), retryAfter: retryAfter}
}

// asError returns an [Error]: calls end with nothing else. An error of another connection is read like gRPC's own.
func asError(err error) *Error {
	if known, ok := as[*Error](err); ok {
		return known
	}
	return errorOf(err, nil)
}

// gone returns the error for a caller whose own context has ended, with the cause.
func gone(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// as returns the first error of its type in err's chain.
func as[E error](err error) (E, bool) {
	var found E
	ok := errors.As(err, &found)
	return found, ok
}
