package dibs

import (
	"sync"
	"time"
)

// patienceSteps: of a pause of this process, at most one step counts.
const patienceSteps = 20

// patience calls a function when this process has run for this long. Time in which it was stopped, or had no turn, does
// not count as lateness of the service.
type patience struct {
	step time.Duration
	end  func()

	mu     sync.Mutex
	left   int
	timer  *time.Timer
	isOver bool
}

func newPatience(lasts time.Duration, end func()) *patience {
	p := &patience{step: lasts / patienceSteps, end: end, left: patienceSteps}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(p.step, p.tick)
	return p
}

func (p *patience) tick() {
	p.mu.Lock()
	p.left--
	ends := p.left == 0 && !p.isOver
	if p.left > 0 && !p.isOver {
		p.timer = time.AfterFunc(p.step, p.tick)
	}
	p.mu.Unlock()
	if ends {
		p.end()
	}
}

// stop: what it waited for has come.
func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isOver = true
	p.timer.Stop()
}
