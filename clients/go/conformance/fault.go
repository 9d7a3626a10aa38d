package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// faultOf describes an error in the scenarios' terms.
func faultOf(err error) map[string]any {
	var unreadable *unreadableError
	// Nothing else can be done with it.
	if errors.As(err, &unreadable) {
		return map[string]any{"kind": "rebuild"}
	}
	var many *manyError
	if errors.As(err, &many) {
		return faultsOf(many)
	}
	var rebuild *rebuildError
	var panicked *dibs.PanicError
	var failed *dibs.RebuildFailedError
	var busy *dibs.BusyError
	var reentrant *dibs.ReentrantRebuildError
	var undecodable *dibs.UndecodableError
	var known *dibs.Error
	switch {
	case errors.As(err, &rebuild):
		return map[string]any{"kind": "rebuild", "message": rebuild.message}
	case errors.As(err, &panicked):
		return map[string]any{"kind": "rebuild", "message": fmt.Sprint(panicked.Value)}
	case errors.As(err, &failed):
		return map[string]any{"kind": "rebuild_failed", "message": failed.Message, "retry_after_ms": failed.RetryAfter().Milliseconds()}
	case errors.As(err, &busy):
		return map[string]any{"kind": "busy", "reason": busy.Reason, "retry_after_ms": busy.RetryAfter().Milliseconds()}
	case errors.As(err, &reentrant):
		return map[string]any{"kind": "reentrant", "message": reentrant.Error()}
	case errors.As(err, &undecodable):
		return map[string]any{"kind": "undecodable", "message": err.Error()}
	case errors.As(err, &known):
		fault := map[string]any{"kind": "dibs", "code": canonical(known.Code), "message": known.Message}
		if known.RetryAfter() >= 0 {
			fault["retry_after_ms"] = known.RetryAfter().Milliseconds()
		}
		return fault
	case errors.Is(err, context.Canceled):
		return map[string]any{"kind": "cancelled"}
	default:
		return map[string]any{"kind": "unexpected", "message": err.Error()}
	}
}

// canonical is the name of a status in gRPC's own documents.
func canonical(code codes.Code) string {
	if code == codes.Canceled {
		return "CANCELLED"
	}
	return strings.ToUpper(capital.ReplaceAllString(code.String(), "${1}_$2"))
}
