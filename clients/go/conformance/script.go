package main

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// script is what a scenario defines for a rebuild.
type script struct {
	AfterMs      int64    `json:"after_ms"`
	Value        []byte   `json:"value"`
	Absent       bool     `json:"absent"`
	Size         *int     `json:"size"`
	Fail         *string  `json:"fail"`
	RetryAfterMs *int64   `json:"retry_after_ms"`
	Gate         *string  `json:"gate"`
	IgnoreLoss   bool     `json:"ignore_loss"`
	ThrowsBadly  bool     `json:"throws_badly"`
	Panics       *string  `json:"panics"`
	Asks         *asks    `json:"asks"`
	TTLMs        number   `json:"ttl_ms"`
	StaleMs      number   `json:"stale_ms"`
	Tags         []string `json:"tags"`
	DoNotStore   bool     `json:"do_not_store"`
	manyScript
}

// asks is a call within a rebuild.
type asks struct {
	fields
	Detached bool `json:"detached"`
}

// scripts are one script, or one for each run of the rebuild. The last one stays.
type scripts []script

func (s *scripts) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		return json.Unmarshal(text, (*[]script)(s))
	}
	*s = make(scripts, 1)
	return json.Unmarshal(text, &(*s)[0])
}

// at returns the script of the given run, from 0.
func (s scripts) at(time int) script {
	if len(s) == 0 {
		return script{}
	}
	return s[min(time, len(s)-1)]
}

// rebuildError is what the source of a scenario returns.
type rebuildError struct{ message string }

func (e *rebuildError) Error() string { return e.message }

// unreadableError is an error whose message cannot be read.
type unreadableError struct{ parts []string }

func (e *unreadableError) Error() string { return e.parts[0] }

// follow does what the script says. ask makes a call within the rebuild.
func (s script) follow(ctx context.Context, gates *gates, ask func(context.Context, fields) ([]byte, error)) ([]byte, error) {
	if err := s.takeItsTime(ctx, gates); err != nil {
		return nil, err
	}
	value := s.Value
	if s.Asks != nil {
		asking := ctx
		if s.Asks.Detached {
			asking = context.Background()
		}
		asked, err := ask(asking, s.Asks.fields)
		if err != nil {
			return nil, err
		}
		if value == nil {
			value = asked
		}
	}
	s.sayHowToStore(ctx)
	switch {
	case s.ThrowsBadly:
		return nil, (*unreadableError)(nil)
	case s.Panics != nil:
		panic(*s.Panics)
	case s.Fail != nil && s.RetryAfterMs != nil:
		return nil, dibs.BackOff(&rebuildError{*s.Fail}, milliseconds(*s.RetryAfterMs))
	case s.Fail != nil:
		return nil, &rebuildError{*s.Fail}
	case s.Absent:
		return nil, dibs.ErrAbsent
	case s.Size != nil:
		return bytes.Repeat([]byte("x"), *s.Size), nil
	default:
		return value, nil
	}
}

func (s script) takeItsTime(ctx context.Context, gates *gates) error {
	if s.IgnoreLoss {
		ctx = context.WithoutCancel(ctx)
	}
	if s.Gate != nil {
		select {
		case <-gates.of(*s.Gate):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case <-time.After(milliseconds(s.AfterMs)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sayHowToStore sets the storing options. The client reports faults in them by a hook.
func (s script) sayHowToStore(ctx context.Context) {
	var options []dibs.ValueOption
	if s.TTLMs.isSet {
		options = append(options, dibs.WithTTL(s.TTLMs.its))
	}
	if s.StaleMs.isSet {
		options = append(options, dibs.WithStaleFor(s.StaleMs.its))
	}
	if s.Tags != nil {
		options = append(options, dibs.WithTags(s.Tags...))
	}
	if len(options) > 0 {
		_ = dibs.ForValue(ctx, options...)
	}
	if s.DoNotStore {
		_ = dibs.DoNotStore(ctx)
	}
}

// gates hold up rebuilds until the scenario opens them.
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
