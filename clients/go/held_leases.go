package dibs

import "sync"

// heldLeases are the leases that this process holds, so that a rebuild learns at once that its lease is lost.
type heldLeases struct {
	lose sync.Map // token → func()
}

// watch calls lose if the service reports that the lease is over, until the returned function ends the watch.
func (h *heldLeases) watch(token string, lose func()) (unwatch func()) {
	h.lose.Store(token, lose)
	return func() { h.lose.Delete(token) }
}

func (h *heldLeases) lost(token string) {
	if lose, ok := h.lose.LoadAndDelete(token); ok {
		lose.(func())()
	}
}
