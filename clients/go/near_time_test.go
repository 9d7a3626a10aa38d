package dibs

import (
	"context"
	"testing"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

var someNear = NearCache{MaxBytes: 1 << 20}

func TestANearEntryIsFreshFromTheSendingOfItsRequest(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		p.fetch("k")
		call := p.call()
		time.Sleep(800 * time.Millisecond)
		p.reply(call, freshFor(1000))
		time.Sleep(100 * time.Millisecond)
		p.wantsNear("k", true, true)
		time.Sleep(99 * time.Millisecond)
		p.wantsNear("k", true, true)
		time.Sleep(time.Millisecond)
		p.wantsNear("k", false, true)
	})
}

func TestAnAnswerWhoseTimeIsOverWhenItComesIsNotKept(t *testing.T) {
	for _, way := range []time.Duration{1000 * time.Millisecond, 1100 * time.Millisecond} {
		played(t, NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: true}, func(p *playedStage) {
			p.fetch("k")
			call := p.call()
			time.Sleep(way)
			p.reply(call, freshFor(1000))
			p.wantsNear("k", false, false)
		})
	}
}

func TestNearEntriesOfManyKeysAreFreshFromTheSendingOfTheirRequest(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		go func() {
			_, _ = FetchMany(p.t.Context(), p.Client, []string{"a", "b"}, func(context.Context, []string) (map[string][]byte, error) {
				return nil, nil
			})
		}()
		call := p.call()
		time.Sleep(800 * time.Millisecond)
		p.replyOf(call, "a", freshFor(1000), true)
		time.Sleep(100 * time.Millisecond)
		p.wantsNear("a", true, true)
		time.Sleep(100 * time.Millisecond)
		p.wantsNear("a", false, true)
		time.Sleep(100 * time.Millisecond)
		p.replyOf(call, "b", freshFor(1000), false)
		p.wantsNear("b", false, false)
	})
}

func TestANearEntryIsFreshFromTheRequestThatWasAnswered(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		p.fetch("k")
		call := p.call()
		time.Sleep(900 * time.Millisecond)
		p.reply(call, &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Busy{Busy: &dibsv1.Busy{}}})
		again := p.call()
		time.Sleep(800 * time.Millisecond)
		p.reply(again, freshFor(1000))
		time.Sleep(199 * time.Millisecond)
		p.wantsNear("k", true, true)
		time.Sleep(time.Millisecond)
		p.wantsNear("k", false, true)
	})
}
