package dibs

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// joinedLate is a call that a second caller joins a second before the first one's wait is over.
func (p *playedStage) joinedLate(key string) (call *dibsv1.SessionCall, waiters <-chan error) {
	ended := make(chan error, 2)
	fetch := func() {
		_, err := Fetch(p.t.Context(), p.Client, key, rebuildUntilTheEnd)
		ended <- err
	}
	go fetch()
	call = p.call()
	for range 29 {
		time.Sleep(time.Second)
		p.beat()
	}
	go fetch()
	if p.hasCall() {
		p.t.Fatal("it does not join")
	}
	return call, ended
}

func TestACallerThatJoinedKeepsItsOwnWait(t *testing.T) {
	t.Run("when the lease is lost", func(t *testing.T) {
		played(t, someNear, func(p *playedStage) {
			call, ended := p.joinedLate("k")
			p.reply(call, leasedFor(60_000))
			time.Sleep(2 * time.Second)
			p.tell(&dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{lostEvent("token")}})
			p.wantsOneLeft(ended)
			if !p.hasCall() {
				t.Error("it does not ask again")
			}
		})
	})
	t.Run("when the other's wait is too short for the rebuild", func(t *testing.T) {
		played(t, someNear, func(p *playedStage) {
			call, ended := p.joinedLate("k")
			busy := &dibsv1.Busy{Reason: dibsv1.BusyReason_BUSY_REASON_DEADLINE_TOO_SHORT, RetryAfterMs: 2000}
			p.reply(call, &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Busy{Busy: busy}})
			time.Sleep(time.Millisecond)
			p.wantsOneLeft(ended)
			time.Sleep(2100 * time.Millisecond)
			if !p.hasCall() {
				t.Error("it does not ask again")
			}
		})
	})
	t.Run("when the service names a later retry", func(t *testing.T) {
		played(t, someNear, func(p *playedStage) {
			call, ended := p.joinedLate("k")
			after := int64(2000)
			p.tell(&dibsv1.SessionResponse{Replies: []*dibsv1.SessionReply{{Id: call.GetId(), Response: &dibsv1.SessionReply_Error{
				Error: &dibsv1.CallError{Code: int32(codes.ResourceExhausted), Message: "too many", RetryAfterMs: &after},
			}}}})
			p.wantsOneLeft(ended)
			time.Sleep(1900 * time.Millisecond)
			if p.hasCall() {
				t.Error("it asks too soon")
			}
			time.Sleep(200 * time.Millisecond)
			if !p.hasCall() {
				t.Error("it does not ask again")
			}
		})
	})
}

// wantsOneLeft checks that the first caller has its error, and the second one does not.
func (p *playedStage) wantsOneLeft(ended <-chan error) {
	p.t.Helper()
	if got := len(ended); got != 1 {
		p.t.Errorf("%d callers have ended", got)
	}
}
