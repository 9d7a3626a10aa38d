package dibs

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestManyKeysThatAreUndecidedEndWithTheWait(t *testing.T) {
	for _, wait := range []time.Duration{0, 100 * time.Millisecond, 10 * time.Second} {
		played(t, someNear, func(p *playedStage) {
			began, ended := time.Now(), make(chan error, 1)
			go func() {
				_, err := FetchMany(p.t.Context(), p.Client, []string{"k"}, noneOfMany, WithWait(wait))
				ended <- err
			}()
			undecided := &dibsv1.Busy{Reason: dibsv1.BusyReason_BUSY_REASON_UNDECIDED}
			for isOver := false; !isOver; {
				select {
				case message := <-p.session.came:
					for _, call := range message.GetCalls() {
						response := &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Busy{Busy: undecided}}
						if call.GetGetOrLock() != nil {
							p.reply(call, response)
						} else {
							p.replyOf(call, "k", response, false)
						}
					}
				case err := <-ended:
					isOver = true
					var busy *BusyError
					if !errors.As(err, &busy) {
						t.Errorf("it ended with %v", err)
					}
				}
			}
			if lasted := time.Since(began); lasted > wait+2*lookPause {
				t.Errorf("with a wait of %v, it ended after %v", wait, lasted)
			}
		})
	}
}

// As when one of two replicas hangs.
func TestKeysWithALeaseDoNotWaitForAnAnswerThatHangs(t *testing.T) {
	for _, wait := range []time.Duration{0, 10 * time.Second} {
		played(t, someNear, func(p *playedStage) {
			began, asked := time.Now(), make(chan []string, 10)
			go func() {
				_, _ = FetchMany(p.t.Context(), p.Client, []string{"a", "b"}, func(_ context.Context, keys []string) (map[string][]byte, error) {
					asked <- keys
					return nil, nil
				}, WithWait(wait))
			}()
			p.replyOf(p.call(), "a", leasedFor(60_000), true)
			if keys := <-asked; !slices.Equal(keys, []string{"a"}) || time.Since(began) > lookMax {
				t.Errorf("with a wait of %v, %v were rebuilt after %v", wait, keys, time.Since(began))
			}
		})
	}
}

func noneOfMany(context.Context, []string) (map[string][]byte, error) { return nil, nil }

func TestNoKeyIsRebuiltWhoseCallerLeftBeforeThat(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		ctx, leave := context.WithCancel(p.t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := FetchMany(ctx, p.Client, []string{"a", "b"}, func(_ context.Context, keys []string) (map[string][]byte, error) {
				t.Errorf("%v were rebuilt", keys)
				return nil, nil
			})
			ended <- err
		}()
		p.replyOf(p.call(), "a", leasedFor(60_000), true)
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestAKeyWhoseLeaseWasLostBeforeItsRebuildIsRebuiltOnce(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		rebuilt := make(chan []string, 10)
		go func() {
			_, _ = FetchMany(p.t.Context(), p.Client, []string{"a", "b"}, func(_ context.Context, keys []string) (map[string][]byte, error) {
				rebuilt <- keys
				return nil, nil
			})
		}()
		many := p.call()
		p.replyOf(many, "a", leasedFor(60_000), true)
		lost := &dibsv1.SessionEvent{Event: &dibsv1.SessionEvent_LeaseLost{LeaseLost: &dibsv1.LeaseLost{Token: "token"}}}
		p.tell(&dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{lost}})
		again := p.call()
		p.replyOf(many, "b", leasedFor(60_000), false)
		if keys := <-rebuilt; !slices.Equal(keys, []string{"b"}) {
			t.Errorf("%v were rebuilt", keys)
		}
		p.reply(again, leasedFor(60_000))
		if keys := <-rebuilt; !slices.Equal(keys, []string{"a"}) {
			t.Errorf("%v were rebuilt", keys)
		}
	})
}
