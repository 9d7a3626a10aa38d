package dibs

import (
	"testing"
	"time"
)

func TestALeaseThatWasLongUnderWayIsExtendedAtOnce(t *testing.T) {
	for way, extends := range map[time.Duration]time.Duration{
		0: 3 * time.Second, 3 * time.Second: 2 * time.Second, 8 * time.Second: 0,
	} {
		played(t, someNear, func(p *playedStage) {
			p.fetch("k")
			call := p.call()
			time.Sleep(way)
			began := time.Now()
			p.reply(call, leasedFor(9000))
			if p.call().GetExtend() == nil || time.Since(began) != extends {
				t.Errorf("after %v on its way, it was extended after %v", way, time.Since(began))
			}
		})
	}
}
