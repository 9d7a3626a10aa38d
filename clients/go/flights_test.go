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
		f.sent(its, f.isWatched)
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
		"do not join after a session broke":  {true, func(f *fleetless) { f.changedAll() }, false},
		"do not join when the watch is over": {true, func(f *fleetless) { f.isWatched = false }, false},
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
				f.isWatched = test.isWatched
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

// underLease is a call whose lease came; what its rebuild ends with is sent to it.
func (f *fleetless) underLease(hasPrevious bool) (start func(context.Context, *flight) result, ends chan result) {
	ends = make(chan result)
	return func(_ context.Context, its *flight) result {
		f.asks(its)
		f.sent(its, f.isWatched)
		running := &runningRebuild{id: its.id.valueID, flight: its, hasPrevious: hasPrevious, ended: make(chan struct{})}
		f.leased(its, running)
		got := <-ends
		f.end(running, got)
		return got
	}, ends
}

func TestCallersThatJoinedARebuildWaitNoLongerThanTheirOwnWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetless()
		send := make(chan struct{})
		rebuild, ends := f.underLease(false)
		start := func(ctx context.Context, its *flight) result {
			<-send
			return rebuild(ctx, its)
		}
		began := f.aboard(t.Context(), 0, start)
		joined := f.aboard(t.Context(), 0, start)
		close(send)
		var busy *BusyError
		if got := <-joined; !errors.As(got.err, &busy) || busy.Reason != BusyWaitEnded {
			t.Errorf("got %v", got.err)
		}
		synctest.Wait()
		late := f.boardRebuild(someID.valueID, true)
		before := time.Now()
		got, _ := f.joinRebuild(t.Context(), before.Add(time.Second), late)
		if waited := time.Since(before); !errors.As(got.err, &busy) || waited != time.Second {
			t.Errorf("got %v after %v", got.err, waited)
		}
		// It is the rebuild of the one that began it, however long that takes.
		time.Sleep(time.Hour)
		ends <- result{value: []byte("v")}
		wantText(t, began, "v")
	})
}

func TestCallersThatCameAfterTheLeaseHaveOnlyWhatCounts(t *testing.T) {
	for name, test := range map[string]struct {
		ended     result
		asksAgain bool
	}{
		"a value that counts":       {result{value: []byte("v"), isShared: true}, false},
		"a value that does not":     {result{value: []byte("v")}, true},
		"a failure that all hear":   {result{err: errors.New("down"), isShared: true}, false},
		"a failure that none hears": {result{err: errors.New("down")}, true},
		"a lost lease":              {result{err: ErrLeaseLost, isLost: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleetless()
				rebuild, ends := f.underLease(false)
				began := f.aboard(t.Context(), time.Minute, rebuild)
				running := f.boardRebuild(someID.valueID, true)
				go func() { ends <- test.ended }()
				got, asksAgain := f.joinRebuild(t.Context(), time.Now().Add(time.Minute), running)
				if asksAgain != test.asksAgain || (!asksAgain && (string(got.value) != string(test.ended.value) || got.err != test.ended.err)) {
					t.Errorf("got %v, again: %v", got, asksAgain)
				}
				if got := <-began; got.err != test.ended.err {
					t.Errorf("who began it got %v", got)
				}
			})
		})
	}
}

func TestARebuildIsClosedToNewcomers(t *testing.T) {
	for name, closes := range map[string]func(*fleetless, *runningRebuild){
		"when it is handed over":     func(f *fleetless, running *runningRebuild) { f.seal(running) },
		"by a change of its key":     func(f *fleetless, _ *runningRebuild) { f.changed(change{namespace: "default", keys: []string{"k"}}) },
		"by a change of a tag":       func(f *fleetless, _ *runningRebuild) { f.changed(change{namespace: "default", tags: []string{"x"}}) },
		"by a session that breaks":   func(f *fleetless, _ *runningRebuild) { f.changedAll() },
		"when all callers have left": func(f *fleetless, running *runningRebuild) { f.leave(running.flight); f.leave(running.flight) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleetless()
				rebuild, ends := f.underLease(false)
				began := f.aboard(t.Context(), time.Minute, rebuild)
				running := f.boardRebuild(someID.valueID, true)
				if running == nil {
					t.Fatal("it was never open")
				}
				closes(f, running)
				if f.boardRebuild(someID.valueID, true) != nil {
					t.Error("it is open")
				}
				ends <- result{value: []byte("v")}
				<-began
			})
		})
	}
	t.Run("where a change came before its lease", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, asking := newFleetless(), newAsking()
			rebuild, ends := f.underLease(false)
			began := f.aboard(t.Context(), time.Minute, func(ctx context.Context, its *flight) result {
				f.asks(its)
				f.sent(its, f.isWatched)
				<-asking.answer
				running := &runningRebuild{id: its.id.valueID, flight: its, ended: make(chan struct{})}
				f.leased(its, running)
				got := <-ends
				f.end(running, got)
				return got
			})
			_ = rebuild
			f.changed(change{namespace: "default", keys: []string{"k"}})
			close(asking.answer)
			synctest.Wait()
			if f.boardRebuild(someID.valueID, true) != nil {
				t.Error("it is open")
			}
			ends <- result{}
			<-began
		})
	})
	t.Run("that accept the stale value that there is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFleetless()
			rebuild, ends := f.underLease(true)
			began := f.aboard(t.Context(), time.Minute, rebuild)
			if f.boardRebuild(someID.valueID, true) != nil || f.boardRebuild(someID.valueID, false) == nil {
				t.Error("it is open to others")
			}
			ends <- result{}
			<-began
		})
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
