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
	// beatWithin is how long after a beat the service is sure to have told of every change.
	beatWithin = 3 * time.Second
	// nearNamespacesMax is the contract's bound of what one session watches.
	nearNamespacesMax = 64
	// nearEntryBytes is what an entry takes beside its key and its value.
	nearEntryBytes = 200
	// nearTagsMax bounds how many tags are remembered by name; one more counts as a change of everything.
	nearTagsMax = 10_000
)

// NearCache is how much a client keeps in its own memory, see [WithNearCache].
type NearCache struct {
	// MaxBytes is of values and keys together; what is used least goes first.
	MaxBytes uint64
	// Namespaces are those whose values are kept, at most 64. Default: the client's own.
	Namespaces []string
	// ServeWhenUnavailable: while the service cannot be reached, what was fresh before is served as stale, where a
	// stale value is accepted.
	ServeWhenUnavailable bool
}

// WithNearCache keeps fresh values in this process, so that a hit costs no call: for keys that are read far more often
// than they change. The service tells over the session what has changed, and nothing is served that may have changed
// unheard. It needs a session. Default: off.
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
	return text("near_cache", c.near.Namespaces...)
}

// nearCache has fresh values in this process's memory. It is filled only by answers that came over a watching session
// and since whose request nothing was heard of a change. Whether an entry is still good is asked at each read.
type nearCache struct {
	entries               *otter.Cache[valueID, *nearEntry]
	watched               map[string]*nearNamespace
	servesWhenUnavailable bool

	// epoch is raised when changes may have been missed: no entry from before is fresh.
	epoch atomic.Uint64
	// lines are the sessions that are open, replaced as a whole.
	mu    sync.Mutex
	lines atomic.Pointer[[]*heartbeat]
}

// nearNamespace says what has changed in one namespace.
type nearNamespace struct {
	// generation is raised by a change of everything.
	generation atomic.Uint64
	// tagClock is raised by each change of tags; tags has each one's last time.
	tagClock atomic.Uint64
	tags     sync.Map
	tagCount atomic.Int64
	// hits are counted here, where a hit has looked the namespace up already.
	hits *namespaceHits
}

// nearEntry is written once.
type nearEntry struct {
	result     result
	freshUntil time.Time
	epoch      uint64
	generation uint64
	tagClock   uint64
	tags       []string
	// isTagged: the service has said what tags the value has.
	isTagged bool
}

// heartbeat is when a session was last sure to have told of every change.
type heartbeat struct{ last atomic.Int64 }

// began is what monotonic times are counted from: a clock that is set back makes nothing live longer.
var began = time.Now()

func (h *heartbeat) beat() { h.last.Store(int64(time.Since(began))) }

func newNearCache(its NearCache, ownNamespace string, hits *hitCounts) *nearCache {
	namespaces := its.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{ownNamespace}
	}
	n := &nearCache{watched: make(map[string]*nearNamespace), servesWhenUnavailable: its.ServeWhenUnavailable}
	for _, namespace := range namespaces {
		name := cmp.Or(namespace, "default")
		n.watched[name] = &nearNamespace{hits: hits.of(name)}
	}
	n.lines.Store(new([]*heartbeat))
	n.entries = otter.Must(&otter.Options[valueID, *nearEntry]{
		MaximumWeight: its.MaxBytes,
		Weigher: func(id valueID, entry *nearEntry) uint32 {
			return uint32(min(math.MaxUint32, nearEntryBytes+len(id.key)+len(entry.result.value)))
		},
		// No goroutine of its own outlasts the client.
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

// watches says whether every change in the namespace is told. A process that was paused notices by the beats.
func (n *nearCache) watches(namespace string) bool {
	if _, ok := n.watched[namespace]; !ok {
		return false
	}
	return n.isLive()
}

func (n *nearCache) isLive() bool {
	lines, now := *n.lines.Load(), int64(time.Since(began))
	for _, line := range lines {
		if now-line.last.Load() >= int64(beatWithin) {
			return false
		}
	}
	return len(lines) > 0
}

// nearHit is an entry with its namespace; without one it is none.
type nearHit struct {
	namespace *nearNamespace
	entry     *nearEntry
}

// fresh is the fresh value of a key, which is not counted yet.
func (n *nearCache) fresh(id valueID) nearHit {
	its, entry := n.known(id)
	if entry == nil || entry.epoch != n.epoch.Load() || !n.isLive() {
		return nearHit{}
	}
	return nearHit{its, entry}
}

// get is the fresh value of a key.
func (n *nearCache) get(id valueID) (result, bool) {
	hit := n.fresh(id)
	if hit.entry == nil {
		return result{}, false
	}
	hit.namespace.hits.add(hitNear, false)
	return hit.entry.result, true
}

// last is what was fresh when the service was last heard of.
func (n *nearCache) last(id valueID) (result, bool) {
	if !n.servesWhenUnavailable {
		return result{}, false
	}
	its, entry := n.known(id)
	if entry == nil {
		return result{}, false
	}
	its.hits.add(hitNear, true)
	return entry.result, true
}

// known is an entry of which no change was heard, within its time; nil if there is none.
func (n *nearCache) known(id valueID) (*nearNamespace, *nearEntry) {
	its, ok := n.watched[id.namespace]
	if !ok {
		return nil, nil
	}
	entry, ok := n.entries.GetIfPresent(id)
	if !ok || entry.generation != its.generation.Load() || !time.Now().Before(entry.freshUntil) || its.hasChanged(entry) {
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

// fill keeps an answer. Its caller holds the lock under which changes are told, and has seen that none was since the
// request was sent.
func (n *nearCache) fill(id valueID, hit *dibsv1.Hit, its result) {
	namespace, ok := n.watched[id.namespace]
	if !ok || hit.GetFreshForMs() <= 0 || hit.GetFreshness() != dibsv1.Freshness_FRESHNESS_FRESH {
		return
	}
	n.entries.Set(id, &nearEntry{
		result:     its,
		freshUntil: time.Now().Add(milliseconds(hit.GetFreshForMs())),
		epoch:      n.epoch.Load(),
		generation: namespace.generation.Load(),
		tagClock:   namespace.tagClock.Load(),
		tags:       hit.GetTags().GetNames(),
		isTagged:   hit.Tags != nil,
	})
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

// forget drops all, also what is served while the service cannot be reached: it is back.
func (n *nearCache) forget() {
	n.epoch.Add(1)
	n.entries.InvalidateAll()
}

// opened is told of each session that begins to tell of changes; over of its end.
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
