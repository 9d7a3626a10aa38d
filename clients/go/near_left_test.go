package dibs

import (
	"testing"
	"testing/synctest"
	"time"
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
