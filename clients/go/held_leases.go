package dibs

import "sync"

// earlyLossesMax bounds how many losses are remembered that came before their watch.
const earlyLossesMax = 1000

// heldLeases are the leases that this process holds, so that a rebuild learns at once that its lease is lost.
type heldLeases struct {
	mu      sync.Mutex
	watched map[string]func()
	// early are the losses of leases that are not watched. A lease and its loss may come in one message, before the
	// rebuild watches it. order has their tokens, oldest first, and perhaps some that are gone.
	early map[string]struct{}
	order []string
}

// watch calls lose if the service reports that the lease is over, or has reported it, until the returned function ends
// the watch.
func (h *heldLeases) watch(token string, lose func()) (unwatch func()) {
	if h.isEarly(token, lose) {
		lose()
		return func() {}
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watched, token)
	}
}

// isEarly reports whether the loss has come already. Otherwise the watch begins.
func (h *heldLeases) isEarly(token string, lose func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, isLost := h.early[token]; isLost {
		delete(h.early, token)
		return true
	}
	if h.watched == nil {
		h.watched = make(map[string]func())
	}
	h.watched[token] = lose
	return false
}

func (h *heldLeases) lost(token string) {
	h.mu.Lock()
	lose, isWatched := h.watched[token]
	if isWatched {
		delete(h.watched, token)
	} else {
		h.remember(token)
	}
	h.mu.Unlock()
	if isWatched {
		lose()
	}
}

// remember must have the lock.
func (h *heldLeases) remember(token string) {
	if _, isKnown := h.early[token]; isKnown {
		return
	}
	if h.early == nil {
		h.early = make(map[string]struct{})
	}
	if len(h.order) >= earlyLossesMax {
		delete(h.early, h.order[0])
		h.order = h.order[1:]
	}
	h.early[token] = struct{}{}
	h.order = append(h.order, token)
}
