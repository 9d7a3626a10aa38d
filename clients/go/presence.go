package dibs

import (
	"log/slog"
	"sync/atomic"
)

// presence knows whether the service could be reached the last time, and logs each change once.
type presence struct {
	// log is [slog.Default] if it is nil.
	log    *slog.Logger
	target string
	isLost atomic.Bool
}

// lost is called when the service cannot be reached.
func (p *presence) lost(cause error) {
	if p.isLost.CompareAndSwap(false, true) {
		p.warn("dibs: the service cannot be reached; until it answers, this process works without it",
			"target", p.target, "error", cause.Error())
	}
}

// answers is called when the service has answered. It reports whether it was lost before.
func (p *presence) answers() (isBack bool) {
	if !p.isLost.Load() || !p.isLost.CompareAndSwap(true, false) {
		return false
	}
	p.warn("dibs: the service answers again", "target", p.target)
	return true
}

// warn contains a panic of the application's log handler, which must not end the process.
func (p *presence) warn(text string, more ...any) {
	defer func() { _ = recover() }()
	p.logger().Warn(text, more...)
}

func (p *presence) logger() *slog.Logger {
	if p.log != nil {
		return p.log
	}
	return slog.Default()
}
