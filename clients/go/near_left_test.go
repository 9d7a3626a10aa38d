package dibs

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// After a break, the service may have reported changes that this process missed.
func TestWhatOutlivedABreakIsServedUntilASessionBegins(t *testing.T) {
	played(t, NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: true}, func(p *playedStage) {
		p.fetch("k")
		p.reply(p.call(), freshFor(600_000))
		close(p.session.over)
		synctest.Wait()
		wantsLast := func(isServed bool) {
			t.Helper()
			if _, ok := p.near.last(valueID{"default", "k"}); ok != isServed {
				t.Errorf("without the service, it is served: %v", ok)
			}
		}
		wantsLast(true)
		time.Sleep(time.Second)
		wantsLast(true)
		p.fetch("opens a session")
		p.session = <-p.sessions
		p.reply(p.call(), freshFor(600_000))
		wantsLast(false)
		p.fetch("another")
		p.reply(p.call(), freshFor(600_000))
		p.wantsNear("another", true, true)
		if _, ok := p.near.last(valueID{"default", "another"}); !ok {
			t.Error("a later one is not served without the service")
		}
		close(p.session.over)
		synctest.Wait()
		wantsLast(false)
	})
}

// A replica that drains, or that knows the token of a session no more, reports no changes on it. It may go on with its
// beats. A call that is still open keeps the stream.
func TestASessionThatIsLeftServesNothingFromThisProcess(t *testing.T) {
	refusal := &dibsv1.SessionReply_Error{Error: &dibsv1.CallError{Code: int32(codes.Unauthenticated)}}
	for name, leaves := range map[string]func(*playedStage){
		"it drains": func(p *playedStage) { p.tell(draining) },
		"it is refused": func(p *playedStage) {
			p.fetch("refused")
			p.tell(&dibsv1.SessionResponse{Replies: []*dibsv1.SessionReply{{Id: p.call().GetId(), Response: refusal}}})
		},
		"the pool leaves it": func(p *playedStage) { p.Client.sessions.(*sessionPool).first.leave() },
	} {
		t.Run(name, func(t *testing.T) {
			played(t, someNear, func(p *playedStage) {
				p.fetch("k")
				p.reply(p.call(), freshFor(60_000))
				p.fetch("open")
				open := p.call()
				p.wantsNear("k", true, true)
				leaves(p)
				p.beat()
				p.wantsNear("k", false, false)
				p.reply(open, freshFor(60_000))
				p.wantsNear("open", false, false)
			})
		})
	}
}

// It waited for the stream, and went to a replica that may report no more changes. Another session has just begun, and
// reports only later ones.
func TestAnAnswerToACallThatIsSentAsItsSessionIsLeftIsNotKept(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		for len(p.session.came) < cap(p.session.came) {
			p.session.came <- &dibsv1.SessionRequest{}
		}
		p.fetch("holds the stream up")
		synctest.Wait()
		p.fetch("k")
		synctest.Wait()
		p.tell(draining)
		p.sessionBegan()
		another := &heartbeat{}
		another.beat()
		p.sessionOpened(another)
		p.call()
		p.reply(p.call(), freshFor(60_000))
		p.wantsNear("k", false, false)
	})
}
