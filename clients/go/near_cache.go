package dibs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// beatWithin is how long after a beat the service is certain to have reported every change.
	beatWithin = 3 * time.Second
	// nearNamespacesMax is the contract's bound for one session.
	nearNamespacesMax = 64
	// nearEntryBytes is the size of an entry without its key and its value.
	nearEntryBytes = 200
	// nearTagsMax bounds how many tags are remembered by name. One more counts as a change of everything.
	nearTagsMax = 10_000
)

// NearCache configures a client's cache in its own memory, see [WithNearCache].
type NearCache struct {
	// MaxBytes bounds values and keys together, 1 or more. The least recently used are dropped first.
	MaxBytes uint64
	// Namespaces are those whose values are kept, at most 64. Default: the client's own.
	Namespaces []string
	// ServeWhenUnavailable: while the service cannot be reached, values that were fresh before are served as stale, if a
	// stale value is acceptable, even with [OnUnavailableFail].
	ServeWhenUnavailable bool
}

// WithNearCache keeps fresh values in this process, so that a hit costs no call. Use it for keys that are read far more
// often than they change. The service reports changes over the session, and nothing is served that may have changed
// unnoticed. It needs a session. Default: off.
//
// A value is fresh from when its request was sent, because its answer may have been long on its way. A request that
// waited for a rebuild loses the time of that wait. Its answer is not kept if no time is left.
func WithNearCache(its NearCache) Option {
	return option(func(c *config) { c.near = &its })
}

func (c config) nearRefused() error {
	switch {
	case c.near == nil:
		return nil
	case c.near.MaxBytes == 0 || c.near.MaxBytes > math.MaxInt64:
		return invalid(fmt.Sprintf("near_cache: %d bytes is outside 1 to %d", c.near.MaxBytes, math.MaxInt64))
	case len(c.near.Namespaces) > nearNamespacesMax:
		return invalid(fmt.Sprintf("near_cache: %d namespaces are more than %d", len(c.near.Namespaces), nearNamespacesMax))
	}
	// The service would refuse the session, and the near cache would never have a value.
	for _, namespace := range c.near.namespacesOr(c.calls.namespace) {
		if !isNamespace(namespace) {
			return invalid(fmt.Sprintf("near_cache: the namespace %q is not at most %d of [A-Za-z0-9_.-]", namespace, namespaceBytesMax))
		}
	}
	return nil
}

func (n *NearCache) namespacesOr(own string) []string {
	if len(n.Namespaces) == 0 {
		return []string{own}
	}
	return n.Namespaces
}

// nearCache has fresh values in this process's memory. Only answers fill it that came over a watching session without a
// change since their request. Each read checks whether an entry is still valid.
type nearCache struct {
	entries               *otter.Cache[valueID, *nearEntry]
	watched               map[string]*nearNamespace
	servesWhenUnavailable bool

	// epoch is raised when changes may have been missed. No earlier entry is fresh.
	epoch atomic.Uint64
	// least is the epoch of the last session's begin. No earlier entry is served, even without the service.
	least atomic.Uint64
	// lines are the sessions that are open, replaced as a whole.
	mu    sync.Mutex
	lines atomic.Pointer[[]*heartbeat]
}

// nearNamespace records what has changed in one namespace.
type nearNamespace struct {
	// generation is raised by a change of everything.
	generation atomic.Uint64
	// tagClock is raised by each change of tags; tags has the last time of each.
	tagClock atomic.Uint64
	tags     sync.Map
	tagCount atomic.Int64
	// hits are counted here, because a hit has already looked the namespace up.
	hits *namespaceHits
}

// nearEntry is written once.
type nearEntry struct {
	result result
	// sent is when its request was sent, counted from began. It is fresh for freshFor from then on.
	sent       time.Duration
	freshFor   time.Duration
	epoch      uint64
	generation uint64
	tagClock   uint64
	tags       []string
	// isTagged: the service has reported the value's tags.
	isTagged bool
}

// heartbeat is when a session was last certain to have reported every change; 0 before its welcome.
type heartbeat struct{ last atomic.Int64 }

// began is the start of monotonic times, so a clock that is set back makes nothing live longer.
var began = time.Now()

// now counts from began.
func now() time.Duration { return time.Since(began) }

func (h *heartbeat) beat() { h.last.Store(int64(now())) }

// isLive reports whether the last beat is recent enough.
func (h *heartbeat) isLive(at time.Duration) bool {
	return at-time.Duration(h.last.Load()) < beatWithin
}

// isLate reports whether a beat that comes now was due long ago. None was due before the welcome.
func (h *heartbeat) isLate(at time.Duration) bool { return h.last.Load() != 0 && !h.isLive(at) }

func newNearCache(its NearCache, ownNamespace string, hits *hitCounts) *nearCache {
	n := &nearCache{watched: make(map[string]*nearNamespace), servesWhenUnavailable: its.ServeWhenUnavailable}
	for _, namespace := range its.namespacesOr(ownNamespace) {
		name := cmp.Or(namespace, "default")
		n.watched[name] = &nearNamespace{hits: hits.of(name)}
	}
	n.lines.Store(new([]*heartbeat))
	n.entries = otter.Must(&otter.Options[valueID, *nearEntry]{
		MaximumWeight: its.MaxBytes,
		Weigher: func(id valueID, entry *nearEntry) uint32 {
			return uint32(min(math.MaxUint32, nearEntryBytes+len(id.key)+len(entry.result.value)))
		},
		// No goroutine of its own outlives the client.
		Executor: func(run func()) { run() },
	})
	return n
}

func (n *nearCache) namespaces() []string {
	var names []string
	for name := range n.watched {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// watches reports whether every change in the namespace is reported. A process that was paused notices by the beats.
func (n *nearCache) watches(namespace string) bool {
	if _, ok := n.watched[namespace]; !ok {
		return false
	}
	return n.isLive(now())
}

func (n *nearCache) isLive(at time.Duration) bool {
	lines := *n.lines.Load()
	for _, line := range lines {
		if !line.isLive(at) {
			return false
		}
	}
	return len(lines) > 0
}

// nearHit is an entry with its namespace. Without one it is not a hit.
type nearHit struct {
	namespace *nearNamespace
	entry     *nearEntry
}

// fresh returns the fresh value of a key, without counting it.
func (n *nearCache) fresh(id valueID) nearHit {
	at := now()
	// Before the epoch is read. Otherwise a late beat could raise the epoch just after it was read, then make its session
	// live, and an entry from before would be served.
	if !n.isLive(at) {
		return nearHit{}
	}
	its, entry := n.known(id, at)
	if entry == nil || entry.epoch != n.epoch.Load() {
		return nearHit{}
	}
	return nearHit{its, entry}
}

// get returns the fresh value of a key.
func (n *nearCache) get(id valueID) (result, bool) {
	hit := n.fresh(id)
	if hit.entry == nil {
		return result{}, false
	}
	hit.namespace.hits.add(hitNear, false)
	return hit.entry.result, true
}

// last returns the value that was fresh when the service last answered.
func (n *nearCache) last(id valueID) (result, bool) {
	if !n.servesWhenUnavailable {
		return result{}, false
	}
	its, entry := n.known(id, now())
	if entry == nil || entry.epoch < n.least.Load() {
		return result{}, false
	}
	its.hits.add(hitNear, true)
	return entry.result, true
}

// known returns an entry without a reported change, within its time; nil if there is none.
func (n *nearCache) known(id valueID, at time.Duration) (*nearNamespace, *nearEntry) {
	its, ok := n.watched[id.namespace]
	if !ok {
		return nil, nil
	}
	entry, ok := n.entries.GetIfPresent(id)
	if !ok || entry.generation != its.generation.Load() || at-entry.sent >= entry.freshFor || its.hasChanged(entry) {
		return nil, nil
	}
	return its, entry
}

func (s *nearNamespace) hasChanged(entry *nearEntry) bool {
	if entry.tagClock == s.tagClock.Load() {
		return false
	}
	if !entry.isTagged {
		return true
	}
	for _, tag := range entry.tags {
		if at, ok := s.tags.Load(tag); ok && at.(uint64) > entry.tagClock {
			return true
		}
	}
	return false
}

// fill keeps an answer. Its caller holds the lock under which changes are reported, and has checked that there was none
// since the request was sent. The service counts the time from its answer. All that is known here is that the answer was
// made after the request was sent.
func (n *nearCache) fill(id valueID, hit *dibsv1.Hit, its result, sentAt time.Time) {
	namespace, ok := n.watched[id.namespace]
	if !ok || hit.GetFreshness() != dibsv1.Freshness_FRESHNESS_FRESH {
		return
	}
	sent, freshFor := sentAt.Sub(began), milliseconds(hit.GetFreshForMs())
	if now()-sent >= freshFor {
		return
	}
	n.entries.Set(id, &nearEntry{
		result:     its,
		sent:       sent,
		freshFor:   freshFor,
		epoch:      n.epoch.Load(),
		generation: namespace.generation.Load(),
		tagClock:   namespace.tagClock.Load(),
		tags:       hit.GetTags().GetNames(),
		isTagged:   hit.Tags != nil,
	})
}

// answered is called for each answer, before it may be kept. Without the service, nothing older is served, even if the
// answer came without a session and is not kept.
func (n *nearCache) answered(id valueID) {
	if n.servesWhenUnavailable {
		n.entries.Invalidate(id)
	}
}

// changed drops what is older than the change.
func (n *nearCache) changed(what change) {
	its, ok := n.watched[what.namespace]
	if !ok {
		return
	}
	for _, key := range what.keys {
		n.entries.Invalidate(valueID{what.namespace, key})
	}
	if what.isAll {
		its.forget()
	}
	if len(what.tags) == 0 {
		return
	}
	at := its.tagClock.Load() + 1
	for _, tag := range what.tags {
		if _, isKnown := its.tags.Swap(tag, at); !isKnown && its.tagCount.Add(1) > nearTagsMax {
			its.forget()
		}
	}
	// Last, so that no reader sees the new time without its tags.
	its.tagClock.Store(at)
}

func (s *nearNamespace) forget() {
	s.generation.Add(1)
	s.tags.Clear()
	s.tagCount.Store(0)
}

// missed: changes may have been missed.
func (n *nearCache) missed() {
	n.epoch.Add(1)
	if !n.servesWhenUnavailable {
		n.entries.InvalidateAll()
	}
}

// began: a session has begun, so the service was there. What outlived a break is no longer what it said last.
func (n *nearCache) began() { n.least.Store(n.epoch.Load()) }

// forget drops everything, including what is served while the service cannot be reached, because it is back.
func (n *nearCache) forget() {
	n.epoch.Add(1)
	n.entries.InvalidateAll()
}

// opened is called for each session that begins to report changes; over is called at its end.
func (n *nearCache) opened(line *heartbeat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := append(slices.Clone(*n.lines.Load()), line)
	n.lines.Store(&lines)
}

func (n *nearCache) over(line *heartbeat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := slices.DeleteFunc(slices.Clone(*n.lines.Load()), func(its *heartbeat) bool { return its == line })
	n.lines.Store(&lines)
}
