package dibs_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

func TestOverASessionALossIsToldAtOnce(t *testing.T) {
	service := startService(t)
	var told atomic.Int64
	its := client(t, service.target, dibs.WithHooks(dibs.Hooks{LeaseLost: func(dibs.LeaseLostEvent) { told.Add(1) }}))
	begun, lost := make(chan string, 2), make(chan error, 1)
	call := behind(func() (string, error) {
		return dibs.Fetch(t.Context(), its, "k", func(ctx context.Context) (string, error) {
			reason := dibs.LeaseFrom(ctx).Reason
			begun <- reason
			if reason == "invalidated" {
				return "new", nil
			}
			<-ctx.Done()
			lost <- context.Cause(ctx)
			return "", ctx.Err()
		}, ttl, dibs.WithLease(30*time.Second))
	})
	receive(t, "a rebuild", begun)
	found, err := client(t, service.target).Invalidate(t.Context(), dibs.Invalidation{Keys: []string{"k"}})
	if err != nil || found.Leases != 1 || found.Keys != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if cause := receive(t, "the loss", lost); cause != dibs.ErrLeaseLost {
		t.Errorf("told %v", cause)
	}
	got := receive(t, "the value", call)
	want(t, got.value, got.err, "new")
	if told.Load() != 1 {
		t.Errorf("the hook was told %d times", told.Load())
	}
}

func TestAServiceThatIsKilledIsFoundAgain(t *testing.T) {
	for _, session := range []bool{true, false} {
		service := startService(t)
		var local atomic.Int64
		its := client(t, service.target, dibs.WithSession(session), dibs.WithHooks(dibs.Hooks{
			LocalRebuild: func(dibs.LocalRebuildEvent) { local.Add(1) },
		}))
		gate, begun := make(chan struct{}), make(chan struct{})
		holder := behind(func() (string, error) {
			return dibs.Fetch(t.Context(), its, "held", func(context.Context) (string, error) {
				close(begun)
				<-gate
				return "v", nil
			}, ttl)
		})
		receive(t, "a rebuild", begun)
		service.kill()
		value, err := dibs.Fetch(t.Context(), its, "meanwhile", returning("mine"), ttl)
		want(t, value, err, "mine")
		if local.Load() != 1 {
			t.Errorf("%d rebuilds were local", local.Load())
		}
		close(gate)
		got := receive(t, "the holder's value", holder)
		want(t, got.value, got.err, "v")
		startService(t, "DIBS_LISTEN="+service.target)
		eventually(t, "the service is found", func() bool {
			rebuilds := local.Load()
			_, err := dibs.Fetch(t.Context(), its, freshKey(), returning("v"), ttl)
			return err == nil && local.Load() == rebuilds
		})
	}
}

func TestOverOneStreamManyCallsAndLargeValues(t *testing.T) {
	its := client(t, startService(t).target)
	large := strings.Repeat("x", 1_000_000)
	var calls []<-chan fetched[string]
	for range 20 {
		key := freshKey()
		calls = append(calls, behind(func() (string, error) { return dibs.Fetch(t.Context(), its, key, returning(large), ttl) }))
	}
	for _, call := range calls {
		got := receive(t, "a value", call)
		want(t, got.value, got.err, large)
	}
}
