package dibs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

type landing struct {
	value []byte
	err   error
}

// aboard joins in a goroutine of its own.
func aboard(ctx context.Context, f *flights[string], start func(context.Context) ([]byte, error)) <-chan landing {
	landed := make(chan landing, 1)
	leave, err := f.life.enter()
	if err != nil {
		landed <- landing{nil, err}
		return landed
	}
	go func() {
		defer leave()
		value, err := f.join(ctx, "id", start)
		landed <- landing{value, err}
	}()
	return landed
}

func TestCallersOfAFlightShareItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string](newLifetime())
		gate, starts := make(chan struct{}), 0
		start := func(context.Context) ([]byte, error) {
			starts++
			<-gate
			return []byte("v"), nil
		}
		one := aboard(t.Context(), f, start)
		synctest.Wait()
		other := aboard(t.Context(), f, start)
		synctest.Wait()
		close(gate)
		if a, b := <-one, <-other; string(a.value) != "v" || string(b.value) != "v" || starts != 1 {
			t.Errorf("got %q and %q after %d starts", a.value, b.value, starts)
		}
		if len(f.underWay) != 0 {
			t.Error("it has not landed")
		}
	})
}

func TestAFlightIsCancelledWhenAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string](newLifetime())
		ended := make(chan error, 1)
		start := func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, ctx.Err()
		}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		one := aboard(first, f, start)
		synctest.Wait()
		other := aboard(second, f, start)
		synctest.Wait()
		leaveFirst()
		if got := <-one; !errors.Is(got.err, context.Canceled) {
			t.Errorf("got %v", got.err)
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Error("it was cancelled although somebody waits")
		}
		leaveSecond()
		<-other
		if err := <-ended; err != errGone {
			t.Errorf("cancelled by %v", err)
		}
	})
}

func TestWhoeverComesAfterAllHaveLeftBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string](newLifetime())
		gate := make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		abandoned := aboard(ctx, f, func(context.Context) ([]byte, error) {
			<-gate
			return []byte("old"), nil
		})
		synctest.Wait()
		leave()
		<-abandoned
		next := aboard(t.Context(), f, func(context.Context) ([]byte, error) {
			<-gate
			return []byte("new"), nil
		})
		synctest.Wait()
		// The abandoned flight lands while the next one is under way.
		close(gate)
		if got := <-next; string(got.value) != "new" {
			t.Errorf("got %q", got.value)
		}
	})
}

func TestAFlightHasTheValuesOfWhoBeganItAndNotItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type name struct{}
		f := newFlights[string](newLifetime())
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), name{}, "first"))
		gate := make(chan struct{})
		start := func(ctx context.Context) ([]byte, error) {
			<-gate
			return []byte(ctx.Value(name{}).(string)), ctx.Err()
		}
		_ = aboard(ctx, f, start)
		synctest.Wait()
		other := aboard(t.Context(), f, start)
		synctest.Wait()
		leave()
		synctest.Wait()
		close(gate)
		if got := <-other; string(got.value) != "first" || got.err != nil {
			t.Errorf("got %q and %v", got.value, got.err)
		}
	})
}

func TestALifetimeEndsWhatRunsAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string](newLifetime())
		gate, over := make(chan struct{}), false
		call := aboard(t.Context(), f, func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			<-gate
			return nil, context.Cause(ctx)
		})
		synctest.Wait()
		f.life.close(func() { over = true })
		synctest.Wait()
		if over {
			t.Error("it was not waited for")
		}
		close(gate)
		if got := <-call; got.err != errClosed {
			t.Errorf("got %v", got.err)
		}
		synctest.Wait()
		if !over {
			t.Error("it never ends")
		}
		if got := <-aboard(t.Context(), f, nil); got.err != errClosed {
			t.Errorf("afterwards: %v", got.err)
		}
	})
}
