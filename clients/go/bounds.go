package dibs

import (
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
)

const (
	// timeMax is the contract's bound for a TTL and a stale time.
	timeMax           = 365 * 24 * time.Hour
	keyBytesMax       = 1024
	namespaceBytesMax = 64
	holderBytesMax    = 256
	tagBytesMax       = 256
	tagsMax           = 16
)

// refused returns why no call is made: the call would break others on its stream, or its result could not be stored.
// The source is not asked for a value that could not be stored.
func (f *fetchOptions) refused(key string) error {
	if !f.ttl.isNamed {
		return invalid("ttl_ms: set how long the value is fresh, with dibs.WithTTL")
	}
	return firstOf(
		f.refusedRead(key),
		f.storing.refused(),
		bounds("lease_ms", f.lease, time.Millisecond),
	)
}

// refusedRead returns why no read is made.
func (f *fetchOptions) refusedRead(key string) error {
	return firstOf(
		text("key", key),
		sized("key", key, keyBytesMax),
		text("namespace", f.namespace),
		header("traceparent", f.traceparent),
		atLeast("wait_ms", f.wait, 0),
		coded(f.codec),
	)
}

// coded refuses nil, because the failure of each rebuild would hold up the whole fleet.
func coded(codec Codec) error {
	if codec == nil {
		return invalid("codec: is nil; leave WithCodec out for JSON")
	}
	return nil
}

func (s storing) refused() error {
	if len(s.tags) > tagsMax {
		return invalid(fmt.Sprintf("tags: %d is outside 0 to %d", len(s.tags), tagsMax))
	}
	for at, tag := range s.tags {
		if err := firstOf(text("tags", tag), sized(fmt.Sprintf("tags[%d]", at), tag, tagBytesMax)); err != nil {
			return err
		}
	}
	return firstOf(
		bounds("ttl_ms", s.ttl, time.Millisecond),
		bounds("stale_ms", s.staleFor, 0),
		bounds("absent_ttl_ms", s.absentTTL, time.Millisecond),
	)
}

// bounds refuses a time that is set and outside its bounds. What is sent counts: whole milliseconds.
func bounds(field string, its duration, least time.Duration) error {
	ms := its.Milliseconds()
	if its.Duration < 0 {
		// A part of a millisecond below 0 must not become 0.
		ms = min(ms, -1)
	}
	if its.isNamed && (ms < least.Milliseconds() || ms > timeMax.Milliseconds()) {
		return invalid(fmt.Sprintf("%s: %d is outside %d to %d", field, ms, least.Milliseconds(), timeMax.Milliseconds()))
	}
	return nil
}

// atLeast is for a time without an upper bound, because it is asked for in pieces.
func atLeast(field string, its duration, least time.Duration) error {
	if its.isNamed && its.Duration < least {
		return bounds(field, its, least)
	}
	return nil
}

func sized(field, text string, bytesMax int) error {
	if len(text) < 1 || len(text) > bytesMax {
		return invalid(fmt.Sprintf("%s: %d bytes is outside 1 to %d", field, len(text), bytesMax))
	}
	return nil
}

// isNamespace reports whether the service accepts a namespace. If it is empty, it is the default one.
func isNamespace(text string) bool {
	if len(text) > namespaceBytesMax {
		return false
	}
	for _, char := range []byte(text) {
		isLetter := (char|0x20) >= 'a' && (char|0x20) <= 'z'
		if !isLetter && !(char >= '0' && char <= '9') && char != '_' && char != '.' && char != '-' {
			return false
		}
	}
	return true
}

// text refuses text that is not UTF-8, which could not be sent.
func text(field string, texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return invalid(field + ": is not UTF-8")
		}
	}
	return nil
}

// header refuses text that is not printable ASCII, which could not be sent.
func header(field, text string) error {
	for _, char := range []byte(text) {
		if char < ' ' || char > '~' {
			return invalid(field + ": is not printable ASCII")
		}
	}
	return nil
}

func invalid(message string) error { return invalidBy(nil, message) }

// invalidBy wraps the cause, and does not repeat its text.
func invalidBy(cause error, message string) error {
	return &Error{Code: codes.InvalidArgument, Message: message, retryAfter: noRetry, isOwn: true, cause: cause}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
