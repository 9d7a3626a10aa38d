package dibs

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// sessionsMax: one process does not need more replicas.
	sessionsMax = 8
	// reopenAfter is how long until a broken session is opened again.
	reopenAfter = time.Second
	// lookAgainMin is how long until a session that met the replica of another one tries again. It doubles with each try,
	// up to lookAgainMax: an address may still be connecting, which takes a while on a loaded machine.
	lookAgainMin = 10 * time.Millisecond
	lookAgainMax = 30 * time.Second
	// countAgainAfter: a new address has its session after this time.
	countAgainAfter = 30 * time.Second
)

// sessionPool has a session with each address of the target, so that the replicas share the calls of one process. All
// calls of a key use the same one, so callers of a key meet on one replica, and a session that comes or goes moves no
// keys of the others. The first serves while no other is open. The first call opens it.
type sessionPool struct {
	create func() *session
	// salt determines which keys a replica has. Pools with the same salt give a key to the same replica.
	salt uint32
	// countAddresses returns how many addresses the target has now.
	countAddresses func(context.Context) int
	life           *lifetime
	first          *session

	mu    sync.Mutex
	peers map[string]*session
	// members are all but the first, replaced as a whole.
	members   atomic.Pointer[[]*session]
	isGrowing bool
}

func newSessionPool(life *lifetime, salt uint32, create func() *session, countAddresses func(context.Context) int) *sessionPool {
	p := &sessionPool{create: create, salt: salt, countAddresses: countAddresses, life: life, peers: make(map[string]*session)}
	p.members.Store(new([]*session))
	p.first = p.add()
	return p
}

func (p *sessionPool) add() *session {
	its := p.create()
	its.pool = p
	return its
}

// keyed is a request about one key.
type keyed interface{ GetKey() string }

// Invoke makes one call.
func (p *sessionPool) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	return p.of(request).Invoke(ctx, method, request, reply, options...)
}

// NewStream makes a call with several answers. Its keys must be those of one of the groups.
func (p *sessionPool) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	return newSessionStream(ctx, options, p.of), nil
}

// groups returns the keys, grouped by the session that their calls use.
func (p *sessionPool) groups(keys []string) [][]string {
	bySession := make(map[*session][]string)
	for _, key := range keys {
		its := p.ofKey(key)
		bySession[its] = append(bySession[its], key)
	}
	return slices.Collect(maps.Values(bySession))
}

func (p *sessionPool) of(request any) *session {
	switch its := request.(type) {
	case keyed:
		return p.ofKey(its.GetKey())
	case *dibsv1.GetOrLockManyRequest:
		return p.ofKey(its.GetKeys()[0])
	default:
		return p.first
	}
}

func (p *sessionPool) ofKey(key string) *session {
	members := *p.members.Load()
	if len(members) == 0 {
		return p.first
	}
	hash := hashOf(key)
	chosen, highest := p.first, p.first.rank(hash)
	for _, its := range members {
		if rank := its.rank(hash); rank > highest {
			chosen, highest = its, rank
		}
	}
	return chosen
}

func (p *sessionPool) settle(ctx context.Context) error { return p.first.settle(ctx) }

func (p *sessionPool) close() {
	p.first.close()
	for _, its := range *p.members.Load() {
		its.close()
	}
}

// accepts reports whether an open line may be used: one for each replica is enough. The first session's always may.
func (p *sessionPool) accepts(l *line) bool {
	its := l.session
	p.mu.Lock()
	owner := p.peers[l.peer]
	isTaken := owner != nil && owner != its
	// A line may have been given up just before its welcome came. over has been called by then, or waits for the lock.
	if l.isOver() || (isTaken && its != p.first) {
		p.mu.Unlock()
		return false
	}
	p.peers[l.peer] = its
	its.seed.Store(hashOf(l.peer) ^ p.salt)
	its.isReady.Store(true)
	if its == p.first && !p.isGrowing {
		p.isGrowing = true
		p.life.spawnLate(p.grow)
	}
	p.mu.Unlock()
	if isTaken {
		owner.leave()
	}
	return true
}

// over is called when a session accepts no more calls.
func (p *sessionPool) over(its *session, peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	its.isReady.Store(false)
	if p.peers[peer] == its {
		delete(p.peers, peer)
	}
}

// grow opens a session for each address, including those that come later.
func (p *sessionPool) grow() {
	for p.life.over.Err() == nil {
		ctx, cancel := context.WithTimeout(p.life.over, reopenAfter)
		count := min(p.countAddresses(ctx), sessionsMax)
		cancel()
		for members := *p.members.Load(); len(members)+1 < count; {
			its := p.add()
			members = append(append([]*session(nil), members...), its)
			if len(members) == 1 {
				// Calls open the first one while it has all of them.
				p.life.spawn(func() { p.keep(p.first) })
			}
			p.members.Store(&members)
			p.life.spawn(func() { p.keep(its) })
		}
		pause(p.life.over, countAgainAfter)
	}
}

// keep opens a session to a replica that no other session has, and opens it again when that is gone.
func (p *sessionPool) keep(its *session) {
	lookAgain := lookAgainMin
	for p.life.over.Err() == nil {
		line := its.open()
		err := line.await(p.life.over)
		switch {
		case err == nil && line.isAccepted.Load():
			lookAgain = lookAgainMin
			select {
			case <-line.over:
			case <-p.life.over.Done():
			}
			pause(p.life.over, reopenAfter)
		case err == nil:
			// Nothing used it yet, so nothing is lost with it. The next one goes to the next address.
			pause(p.life.over, lookAgain)
			lookAgain = min(2*lookAgain, lookAgainMax)
		default:
			pause(p.life.over, reopenAfter)
		}
	}
}

// addressesOf counts the addresses that a target stands for; 1 if that is unknown.
func addressesOf(its target) func(context.Context) int {
	return func(ctx context.Context) int {
		if its.addresses != nil {
			return len(its.addresses)
		}
		scheme, rest, _ := strings.Cut(its.text, ":")
		if scheme == "dns" {
			if authority, isNamed := strings.CutPrefix(rest, "//"); isNamed {
				_, rest, _ = strings.Cut(authority, "/")
			}
		} else {
			rest = its.text
		}
		host, _, err := net.SplitHostPort(rest)
		if err != nil || strings.Contains(rest, "/") {
			return 1
		}
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return 1
		}
		return max(1, len(found))
	}
}
