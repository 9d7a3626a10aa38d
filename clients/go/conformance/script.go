package main

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// script is what a scenario says of a rebuild.
type script struct {
	AfterMs      int64   `json:"after_ms"`
	Value        []byte  `json:"value"`
	Absent       bool    `json:"absent"`
	Size         *int    `json:"size"`
	Fail         *string `json:"fail"`
	RetryAfterMs *int64  `json:"retry_after_ms"`
	Gate         *string `json:"gate"`
	IgnoreLoss   bool    `json:"ignore_loss"`
}

// rebuildError is what the source of a scenario returns.
type rebuildError struct{ message string }

func (e *rebuildError) Error() string { return e.message }

// follow does what the script says.
func (s script) follow(ctx context.Context, gates *gates) ([]byte, error) {
	if s.IgnoreLoss {
		ctx = context.WithoutCancel(ctx)
	}
	if s.Gate != nil {
		select {
		case <-gates.of(*s.Gate):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	select {
	case <-time.After(milliseconds(s.AfterMs)):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	switch {
	case s.Fail != nil && s.RetryAfterMs != nil:
		return nil, dibs.BackOff(&rebuildError{*s.Fail}, milliseconds(*s.RetryAfterMs))
	case s.Fail != nil:
		return nil, &rebuildError{*s.Fail}
	case s.Absent:
		return nil, dibs.ErrAbsent
	case s.Size != nil:
		return bytes.Repeat([]byte("x"), *s.Size), nil
	default:
		return s.Value, nil
	}
}

// gates are what rebuilds wait at, until the scenario opens them.
type gates struct {
	mu     sync.Mutex
	opened map[string]chan struct{}
}

func (g *gates) of(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate, ok := g.opened[name]
	if !ok {
		gate = make(chan struct{})
		g.opened[name] = gate
	}
	return gate
}

func (g *gates) open(name string) {
	gate := g.of(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-gate:
	default:
		close(gate)
	}
}

// faultOf is an error as the scenarios know it.
func faultOf(err error) map[string]any {
	var rebuild *rebuildError
	var failed *dibs.RebuildFailedError
	var busy *dibs.BusyError
	var known *dibs.Error
	switch {
	case errors.As(err, &rebuild):
		return map[string]any{"kind": "rebuild", "message": rebuild.message}
	case errors.As(err, &failed):
		return map[string]any{"kind": "rebuild_failed", "message": failed.Message, "retry_after_ms": failed.RetryAfter().Milliseconds()}
	case errors.As(err, &busy):
		return map[string]any{"kind": "busy", "reason": busy.Reason, "retry_after_ms": busy.RetryAfter().Milliseconds()}
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
