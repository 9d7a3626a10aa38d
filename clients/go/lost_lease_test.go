package dibs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func lostEvent(token string) *dibsv1.SessionEvent {
	lost := &dibsv1.LeaseLost{Token: token}
	return &dibsv1.SessionEvent{Event: &dibsv1.SessionEvent_LeaseLost{LeaseLost: lost}}
}

func leaseReply(call *dibsv1.SessionCall) *dibsv1.SessionReply {
	return &dibsv1.SessionReply{Id: call.GetId(), Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: leasedFor(60_000)}}
}

// causeOf fetches in the background, and returns why the context of the first rebuild ended.
func (p *playedStage) causeOf(key string) <-chan error {
	cause := make(chan error, 10)
	go func() {
		_, _ = Fetch(p.t.Context(), p.Client, key, func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return nil, ctx.Err()
		})
	}()
	return cause
}

// wantsLost checks that the rebuild has been told by now, and that the service is asked again.
func (p *playedStage) wantsLost(cause <-chan error) {
	p.t.Helper()
	synctest.Wait()
	select {
	case its := <-cause:
		if its != ErrLeaseLost {
			p.t.Errorf("it ended with %v", its)
		}
	default:
		p.t.Fatal("the rebuild goes on")
	}
	if again := p.call(); again.GetGetOrLock() == nil {
		p.t.Errorf("it calls %v", again)
	}
}

// The service puts into one message what it has to say, and events are handled first.
func TestALossThatComesBeforeItsLeaseCounts(t *testing.T) {
	t.Run("in the same message", func(t *testing.T) {
		played(t, someNear, func(p *playedStage) {
			cause := p.causeOf("k")
			p.tell(&dibsv1.SessionResponse{
				Replies: []*dibsv1.SessionReply{leaseReply(p.call())},
				Events:  []*dibsv1.SessionEvent{lostEvent("token")},
			})
			p.wantsLost(cause)
		})
	})
	t.Run("and only once", func(t *testing.T) {
		var held heldLeases
		held.lost("a")
		times := 0
		for range 2 {
			held.watch("a", func() { times++ })()
		}
		if times != 1 {
			t.Errorf("told %d times", times)
		}
	})
	t.Run("of the last thousand", func(t *testing.T) {
		var held heldLeases
		for at := range 5000 {
			held.lost(string(rune(at)))
		}
		times := 0
		for at := range 5000 {
			held.watch(string(rune(at)), func() { times++ })()
		}
		if times != earlyLossesMax || len(held.early) != 0 || len(held.watched) != 0 {
			t.Errorf("told of %d, and %d are left", times, len(held.early))
		}
	})
}

// The hook is told by the goroutine that reads the session, unless that is prevented.
func TestAHookThatCallsTheServiceHoldsUpNoAnswer(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		took := make(chan time.Duration, 1)
		p.config.hooks.LeaseLost = func(LeaseLostEvent) {
			began := time.Now()
			_, _, _ = Get[[]byte](p.t.Context(), p.Client, "other")
			took <- time.Since(began)
		}
		cause := p.causeOf("k")
		p.reply(p.call(), leasedFor(60_000))
		p.tell(&dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{lostEvent("token")}})
		select {
		case <-cause:
		default:
			t.Error("the rebuild waits for the hook")
		}
		p.reply(p.call(), freshFor(1000))
		if lasted := <-took; lasted != 0 {
			t.Errorf("its call took %v", lasted)
		}
	})
}
