package dibs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fleetless are flights without a service: a test says what their calls do.
type fleetless struct {
	*flights
	isWatched bool
	// isUnary: calls go over what tells of no changes.
	isUnary bool
}

func newFleetless() *fleetless {
	its := &fleetless{}
	its.flights = newFlights(newLifetime(), func(string) bool { return its.isWatched })
	return its
}

var someID = fetchID{valueID: valueID{"default", "k"}}

// aboard joins in a goroutine of its own.
func (f *fleetless) aboard(ctx context.Context, until time.Duration, start func(context.Context, *flight) result) <-chan result {
	landed := make(chan result, 1)
	leave, err := f.life.enter()
	if err != nil {
		landed <- result{err: err}
		return landed
	}
	go func() {
		defer leave()
		got, _ := f.join(ctx, someID, time.Now().Add(until), start)
		landed <- got
	}()
	synctest.Wait()
	return landed
}

// asking is a call that is sent, when told to, and answered with the text, when told to.
type asking struct {
	send, answer chan struct{}
	starts       int
}

func newAsking() *asking { return &asking{send: make(chan struct{}), answer: make(chan struct{})} }

func (a *asking) of(f *fleetless, text string) func(context.Context, *flight) result {
	return func(ctx context.Context, its *flight) result {
		a.starts++
		f.asks(its)
		<-a.send
		f.sent(its, !f.isUnary)
		<-a.answer
		return result{value: []byte(text), err: ctx.Err()}
	}
}

func wantText(t *testing.T, call <-chan result, text string) {
	t.Helper()
	if got := <-call; string(got.value) != text || got.err != nil {
		t.Errorf("got %q and %v, want %q", got.value, got.err, text)
	}
}

func TestCallersThatComeBeforeTheRequestIsSentShareIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, asking := newFleetless(), newAsking()
		one := f.aboard(t.Context(), time.Minute, asking.of(f, "v"))
		other := f.aboard(t.Context(), time.Minute, asking.of(f, "v"))
		close(asking.send)
		close(asking.answer)
		wantText(t, one, "v")
		wantText(t, other, "v")
		if asking.starts != 1 || len(f.open)+len(f.underWay) != 0 {
			t.Errorf("%d starts, and %d have not landed", asking.starts, len(f.underWay))
		}
	})
}

func TestCallersThatComeWhileTheRequestIsUnderWay(t *testing.T) {
	tests := map[string]struct {
		isWatched bool
		change    func(*fleetless)
		joins     bool
	}{
		"make their own without a watch": {false, func(*fleetless) {}, false},
		"join under a watch":             {true, func(*fleetless) {}, true},
		"do not join after a change of the key": {true, func(f *fleetless) {
			f.changed(change{namespace: "default", keys: []string{"k"}})
		}, false},
		"do not join after a change of everything": {true, func(f *fleetless) {
			f.changed(change{namespace: "default", tags: []string{"x"}})
		}, false},
		"do not join after a session broke":    {true, func(f *fleetless) { f.changedAll() }, false},
		"do not join what tells of no changes": {true, func(*fleetless) {}, false},
		"do not join when the watch is over":   {true, func(f *fleetless) { f.isWatched = false }, false},
		"join after a change of another key": {true, func(f *fleetless) {
			f.changed(change{namespace: "default", keys: []string{"other"}})
		}, true},
		"join after a change of another namespace": {true, func(f *fleetless) {
			f.changed(change{namespace: "other", keys: []string{"k"}, isAll: true})
		}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, first, second := newFleetless(), newAsking(), newAsking()
				f.isWatched, f.isUnary = test.isWatched, name == "do not join what tells of no changes"
				one := f.aboard(t.Context(), time.Minute, first.of(f, "first"))
				close(first.send)
				synctest.Wait()
				test.change(f)
				other := f.aboard(t.Context(), time.Minute, second.of(f, "second"))
				close(second.send)
				close(second.answer)
				close(first.answer)
				wantText(t, one, "first")
				if test.joins {
					wantText(t, other, "first")
				} else {
					wantText(t, other, "second")
				}
			})
		})
	}
}

func TestAFlightIsCancelledWhenAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetless()
		ended := make(chan error, 1)
		start := func(ctx context.Context, _ *flight) result {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return result{err: ctx.Err()}
		}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		one := f.aboard(first, time.Minute, start)
		other := f.aboard(second, time.Minute, start)
		leaveFirst()
		if got := <-one; !errors.Is(got.err, context.Canceled) {
			t.Errorf("got %v", got.err)
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Error("it was cancelled although a caller waits")
		}
		leaveSecond()
		<-other
		if err := <-ended; err != errGone {
			t.Errorf("cancelled by %v", err)
		}
	})
}

func TestACallerThatComesAfterAllHaveLeftBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetless()
		gate := make(chan struct{})
		returning := func(text string) func(context.Context, *flight) result {
			return func(context.Context, *flight) result {
				<-gate
				return result{value: []byte(text)}
			}
		}
		ctx, leave := context.WithCancel(t.Context())
		abandoned := f.aboard(ctx, time.Minute, returning("old"))
		leave()
		<-abandoned
		next := f.aboard(t.Context(), time.Minute, returning("new"))
		// The abandoned flight lands while the next one is under way.
		close(gate)
		wantText(t, next, "new")
	})
}

func TestAFlightHasTheValuesOfWhoBeganItAndNotItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type name struct{}
		f := newFleetless()
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), name{}, "first"))
		gate := make(chan struct{})
		start := func(ctx context.Context, _ *flight) result {
			<-gate
			return result{value: []byte(ctx.Value(name{}).(string)), err: ctx.Err()}
		}
		_ = f.aboard(ctx, time.Minute, start)
		other := f.aboard(t.Context(), time.Minute, start)
		leave()
		synctest.Wait()
		close(gate)
		wantText(t, other, "first")
	})
}

func TestALifetimeEndsWhatRunsAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetless()
		gate, over := make(chan struct{}), false
		call := f.aboard(t.Context(), time.Minute, func(ctx context.Context, _ *flight) result {
			<-ctx.Done()
			<-gate
			return result{err: context.Cause(ctx)}
		})
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
		if got := <-f.aboard(t.Context(), time.Minute, nil); got.err != errClosed {
			t.Errorf("afterwards: %v", got.err)
		}
	})
}

func TestAWaitEndsWithItsTimeOrItsContext(t *testing.T) {
	for name, it := range map[string]struct{ wait, context, want time.Duration }{
		"the wait":    {wait: time.Second, context: time.Hour, want: time.Second},
		"the context": {wait: time.Hour, context: time.Second, want: time.Second},
		"both":        {wait: time.Second, context: time.Second, want: time.Second},
		"no deadline": {wait: time.Second, want: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if it.context > 0 {
					limited, cancel := context.WithTimeout(ctx, it.context)
					defer cancel()
					ctx = limited
				}
				start := time.Now()
				if err := await(ctx, start.Add(it.wait), make(chan struct{})); err == nil {
					t.Error("it did not fail")
				}
				if took := time.Since(start); took != it.want {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
