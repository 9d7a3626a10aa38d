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
