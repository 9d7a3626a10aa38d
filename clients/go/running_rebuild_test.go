package dibs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// underLease is a call whose lease came; what its rebuild ends with is sent to it.
func (f *fleetless) underLease(hasPrevious bool) (start func(context.Context, *flight) result, ends chan result) {
	ends = make(chan result)
	return func(_ context.Context, its *flight) result {
		f.asks(its)
		f.sent(its, true)
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
		late := f.boardRebuild(someID.valueID, joiner{acceptsStale: true})
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
				running := f.boardRebuild(someID.valueID, joiner{acceptsStale: true})
				go func() { ends <- test.ended }()
				got, asksAgain := f.joinRebuild(t.Context(), time.Now().Add(time.Minute), running)
				if asksAgain != test.asksAgain || (!asksAgain && (string(got.value) != string(test.ended.value) || got.err != test.ended.err)) {
					t.Errorf("got %v, again: %v", got, asksAgain)
				}
				if got := <-began; got.err != test.ended.err {
					t.Errorf("the caller that began it got %v", got)
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
				running := f.boardRebuild(someID.valueID, joiner{acceptsStale: true})
				if running == nil {
					t.Fatal("it was never open")
				}
				closes(f, running)
				if f.boardRebuild(someID.valueID, joiner{acceptsStale: true}) != nil {
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
				f.sent(its, true)
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
			if f.boardRebuild(someID.valueID, joiner{acceptsStale: true}) != nil {
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
			if f.boardRebuild(someID.valueID, joiner{acceptsStale: true}) != nil || f.boardRebuild(someID.valueID, joiner{}) == nil {
				t.Error("it is open to others")
			}
			ends <- result{}
			<-began
		})
	})
}

func TestARebuildBesideAValueIsNotJoined(t *testing.T) {
	for name, test := range map[string]struct {
		running  runningRebuild
		by       joiner
		isJoined bool
	}{
		"a refresh, by any caller":                         {runningRebuild{isRefresh: true}, joiner{stale: StaleForbid}, false},
		"a refresh, by one that cannot read the value":     {runningRebuild{isRefresh: true, hasPrevious: true}, joiner{acceptsStale: true, isAnew: true}, true},
		"of a holder that forbids stale values":            {runningRebuild{stale: StaleForbid}, joiner{acceptsStale: true}, false},
		"of one like it, by a caller that forbids them":    {runningRebuild{stale: StaleForbid}, joiner{stale: StaleForbid}, true},
		"of a holder that accepts stale values":            {runningRebuild{stale: StaleAllow}, joiner{acceptsStale: true}, true},
		"of the policy, by a caller of the policy":         {runningRebuild{}, joiner{acceptsStale: true}, true},
		"of the policy, by a caller that may accept more":  {runningRebuild{}, joiner{stale: StaleAllow, acceptsStale: true}, false},
		"beside a stale value, by a caller that awaits it": {runningRebuild{hasPrevious: true}, joiner{}, true},
	} {
		f := newFleetless()
		f.rebuilds[someID.valueID] = &test.running
		if isJoined := f.boardRebuild(someID.valueID, test.by) != nil; isJoined != test.isJoined {
			t.Errorf("%s: joined %v", name, isJoined)
		}
	}
}
