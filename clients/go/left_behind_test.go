package dibs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

var draining = &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{
	{Event: &dibsv1.SessionEvent_Draining{Draining: &dibsv1.Draining{}}},
}}

// The bubble fails if a goroutine of the client remains. A caller's own connection stays open, and ends no stream.
func TestCloseEndsTheStreamsThatAServiceHasLeftOpen(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		p.tell(draining)
		p.fetch("k")
		another := <-p.sessions
		another.going <- draining
	})
}

// Its answer was on its way when its caller left. The stream has already carried its last call by then.
func TestALeaseThatComesForACallerThatLeftADrainingReplicaIsGivenBack(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		ctx, leave := context.WithCancel(p.t.Context())
		go func() { _, _ = Fetch(ctx, p.Client, "k", rebuildUntilTheEnd) }()
		call := p.call()
		p.tell(draining)
		leave()
		synctest.Wait()
		p.reply(call, leasedFor(10_000))
		select {
		case p.session = <-p.sessions:
		case <-time.After(time.Second):
			p.t.Fatal("nothing was sent elsewhere")
		}
		if released := p.call().GetRelease(); released.GetKey() != "k" || released.GetToken() != "token" {
			p.t.Errorf("got %v", released)
		}
	})
}
