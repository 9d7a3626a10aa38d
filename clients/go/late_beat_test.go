package dibs

import (
	"testing"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// A process that stood still reads an old beat before changes that are as old.
func TestALateBeatIsAChangeOfEverything(t *testing.T) {
	for after, isLate := range map[time.Duration]bool{2999 * time.Millisecond: false, 3000 * time.Millisecond: true} {
		for _, serves := range []bool{false, true} {
			played(t, NearCache{MaxBytes: 1 << 20, ServeWhenUnavailable: serves}, func(p *playedStage) {
				p.fetch("there")
				p.reply(p.call(), freshFor(60_000))
				p.fetch("rebuilt")
				p.reply(p.call(), leasedFor(600_000))
				p.beat()
				p.fetch("under way")
				underWay := p.call()
				time.Sleep(after)
				p.beat()
				p.wantsNear("there", !isLate, !isLate || serves)
				if _, ok := p.near.last(valueID{"default", "there"}); ok != serves {
					t.Errorf("without the service, it is served: %v", ok)
				}
				if isJoined := p.flights.boardRebuild(valueID{"default", "rebuilt"}, joiner{}) != nil; isJoined == isLate {
					t.Errorf("a caller joins the rebuild: %v", isJoined)
				}
				p.fetch("under way")
				if asks := p.hasCall(); asks != isLate {
					t.Errorf("a caller asks instead of joining: %v", asks)
				}
				p.reply(underWay, freshFor(60_000))
				p.wantsNear("under way", !isLate, !isLate)
			})
		}
	}
}

func TestWhatComesAfterALateBeatIsKept(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		time.Sleep(10 * time.Second)
		p.beat()
		p.fetch("k")
		p.reply(p.call(), freshFor(60_000))
		time.Sleep(time.Second)
		p.beat()
		p.wantsNear("k", true, true)
	})
}

func TestABeatIsNotLateBeforeTheWelcome(t *testing.T) {
	if (&heartbeat{}).isLate(time.Hour) {
		t.Error("it is late")
	}
}

func TestALateWelcomeIsLikeALateBeat(t *testing.T) {
	for _, isFirst := range []bool{true, false} {
		l := &line{isFirst: isFirst, askedAt: time.Second}
		if l.mayHaveMissed(time.Second+beatWithin-1) != !isFirst {
			t.Errorf("on time, isFirst %v", isFirst)
		}
		if !l.mayHaveMissed(time.Second + beatWithin) {
			t.Errorf("late, isFirst %v", isFirst)
		}
	}
}

// orderOf notes whether the near cache was live when changes may have been missed.
type orderOf struct {
	*Client
	wasLive []bool
}

func (o *orderOf) sessionChanged() { o.wasLive = append(o.wasLive, o.near.isLive(now())) }

// Otherwise another goroutine could serve an entry from before, between the two.
func TestALateBeatDropsEntriesBeforeItMakesThemLive(t *testing.T) {
	played(t, someNear, func(p *playedStage) {
		order := &orderOf{Client: p.Client}
		l := idleLine()
		l.session.listener = order
		beat := &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{{Event: &dibsv1.SessionEvent_Beat{Beat: &dibsv1.Beat{}}}}}
		l.heard(beat, p.t.Context())
		p.near.opened(&l.heart)
		time.Sleep(beatWithin)
		p.beat()
		l.heard(beat, p.t.Context())
		if len(order.wasLive) != 1 || order.wasLive[0] || !p.near.isLive(now()) {
			t.Errorf("it was live: %v, and is now: %v", order.wasLive, p.near.isLive(now()))
		}
	})
}
