package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// result is the answer to a command.
type result map[string]any

// actor is the state of one scenario's actor: its clients, its open calls, and the gates of its rebuilds.
type actor struct {
	emit  func(event any)
	gates gates

	mu      sync.Mutex
	clients map[string]*dibs.Client
	// opened is the command that opened each client.
	opened  map[string]fields
	leaving map[string]context.CancelFunc
}

func newActor(emit func(any)) *actor {
	return &actor{
		emit:    emit,
		gates:   gates{opened: map[string]chan struct{}{}},
		clients: map[string]*dibs.Client{},
		opened:  map[string]fields{},
		leaving: map[string]context.CancelFunc{},
	}
}

// prepare handles commands in their order. The function that it returns may run concurrently with others.
func (a *actor) prepare(asked command) func() (any, error) {
	fields := asked.fields
	switch asked.Do {
	case "open":
		return func() (any, error) { return result{}, a.open(fields) }
	case "close":
		return a.with(fields, func(client *dibs.Client) (any, error) { return result{}, client.Close() })
	case "let":
		a.gates.open(fields.Gate)
		return func() (any, error) { return result{}, nil }
	case "cancel":
		a.cancel(fields.Call)
		return func() (any, error) { return result{}, nil }
	case "get_or_rebuild":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) { return a.getOrRebuild(ctx, client, fields) })
	case "get_or_rebuild_many":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) { return a.getOrRebuildMany(ctx, client, fields) })
	case "get":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) { return a.get(ctx, client, fields) })
	case "set":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) { return a.set(ctx, client, fields) })
	case "explain":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) { return a.explain(ctx, client, fields) })
	case "invalidate":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) { return a.invalidate(ctx, client, fields) })
	case "ready":
		return a.with(fields, func(client *dibs.Client) (any, error) {
			return result{"ready": within(fields, client.Ready)}, nil
		})
	case "show":
		return a.with(fields, func(client *dibs.Client) (any, error) {
			return result{"text": fmt.Sprintf("%v %+v %#v", client, *client, *client)}, nil
		})
	case "flush":
		return a.with(fields, func(client *dibs.Client) (any, error) {
			return result{"flushed": within(fields, client.Flush)}, nil
		})
	case "call":
		ctx := a.boarding(fields)
		return a.with(fields, func(client *dibs.Client) (any, error) {
			result, err := rawCall(ctx, client.Stub(), fields.Method, fields.Request)
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, context.Canceled
			}
			return result, err
		})
	case "bench":
		return func() (any, error) { return a.bench(fields) }
	default:
		return func() (any, error) { return nil, fmt.Errorf("no such command: %s", asked.Do) }
	}
}

func (a *actor) with(f fields, act func(*dibs.Client) (any, error)) func() (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	client, ok := a.clients[f.Client]
	if !ok {
		return func() (any, error) { return nil, fmt.Errorf("no client %s", f.Client) }
	}
	return func() (any, error) { return act(client) }
}

func (a *actor) open(f fields) error {
	hook := func(name string, event dibs.Event, more ...any) {
		line := map[string]any{"event": "hook", "name": name, "key": event.Key}
		for at := 0; at < len(more); at += 2 {
			line[more[at].(string)] = more[at+1]
		}
		a.emit(line)
	}
	client, err := dibs.New(f.Target, f.clientOptions(dibs.Hooks{
		Hit:  func(e dibs.HitEvent) { hook("hit", e.Event, "freshness", e.Freshness) },
		Wait: func(e dibs.WaitEvent) { hook("wait", e.Event) },
		Publish: func(e dibs.PublishEvent) {
			more := []any{"outcome", e.Outcome, "maybe_stored", e.MaybeStored}
			if e.Counts != nil {
				more = append(more, "counts", *e.Counts)
			}
			hook("publish", e.Event, more...)
		},
		LeaseLost:       func(e dibs.LeaseLostEvent) { hook("lease_lost", e.Event) },
		LocalRebuild:    func(e dibs.LocalRebuildEvent) { hook("local_rebuild", e.Event) },
		BackgroundError: func(e dibs.BackgroundErrorEvent) { hook("background_error", e.Event) },
		Undecodable:     func(e dibs.UndecodableEvent) { hook("undecodable", e.Event) },
		NotStorable:     func(e dibs.NotStorableEvent) { hook("not_storable", e.Event) },
	}, slog.New(warnings{emit: a.emit}))...)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clients[f.Client] = client
	a.opened[f.Client] = f
	return nil
}

// boarding is the context of a call that the scenario may cancel, or that has its own deadline.
func (a *actor) boarding(f fields) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	if f.DeadlineMs != nil {
		ctx, cancel = context.WithTimeout(ctx, milliseconds(*f.DeadlineMs))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving[f.Call] = cancel
	return ctx
}

func (a *actor) cancel(call string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cancel, ok := a.leaving[call]; ok {
		cancel()
	}
}

func (a *actor) getOrRebuild(ctx context.Context, client *dibs.Client, f fields) (any, error) {
	value, err := a.fetch(ctx, client, f)
	switch {
	case ctx.Err() != nil:
		// Its end does not matter, because its caller had left.
		return nil, context.Canceled
	case errors.Is(err, dibs.ErrAbsent):
		return result{"value": nil}, nil
	case err != nil:
		return nil, err
	default:
		return result{"value": base64.StdEncoding.EncodeToString(value)}, nil
	}
}

// fetch calls the client, also within a rebuild.
func (a *actor) fetch(ctx context.Context, client *dibs.Client, f fields) ([]byte, error) {
	var times atomic.Int64
	rebuild := func(ctx context.Context) ([]byte, error) {
		a.emit(beginning(ctx, f))
		context.AfterFunc(ctx, func() {
			if context.Cause(ctx) == dibs.ErrLeaseLost {
				a.emit(map[string]any{"event": "lost", "call": f.Call})
			}
		})
		script := f.Rebuild.at(int(times.Add(1)) - 1)
		return script.follow(ctx, &a.gates, func(ctx context.Context, asked fields) ([]byte, error) {
			asked.Call = f.Call
			return a.fetch(ctx, client, asked)
		})
	}
	if f.Codec != "json" {
		return dibs.Fetch(ctx, client, f.Key, rebuild, f.fetchOptions()...)
	}
	text, err := dibs.Fetch(ctx, client, f.Key, func(ctx context.Context) (string, error) {
		value, err := rebuild(ctx)
		return string(value), err
	}, f.fetchOptions()...)
	return []byte(text), err
}

func (a *actor) invalidate(ctx context.Context, client *dibs.Client, f fields) (any, error) {
	done, err := client.Invalidate(ctx, dibs.Invalidation{Keys: f.Keys, Tags: f.Tags, All: f.All, MarkStale: f.Mode == "mark_stale"})
	return result{"keys_invalidated": done.Keys, "leases_voided": done.Leases}, err
}

// within reports whether wait succeeded in time.
func within(f fields, wait func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), milliseconds(f.TimeoutMs))
	defer cancel()
	return wait(ctx) == nil
}

// bench uses a client like the named one, without hooks, because each would print a line.
func (a *actor) bench(f fields) (any, error) {
	a.mu.Lock()
	opened := a.opened[f.Client]
	a.mu.Unlock()
	client, err := dibs.New(opened.Target, opened.clientOptions(dibs.Hooks{}, nil)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	f.Namespace, f.Session = opened.Namespace, opened.Session
	return overhead(client, f)
}

// beginning is the event for the start of a rebuild.
func beginning(ctx context.Context, f fields) map[string]any {
	lease := dibs.LeaseFrom(ctx)
	event := map[string]any{"event": "rebuild", "call": f.Call, "key": f.Key, "reason": lease.Reason, "fence": lease.Fence}
	var previous []byte
	switch err := lease.Previous(&previous); {
	case err == nil:
		event["previous"] = base64.StdEncoding.EncodeToString(previous)
	case errors.Is(err, dibs.ErrAbsent):
		event["previous"] = nil
	}
	return event
}
