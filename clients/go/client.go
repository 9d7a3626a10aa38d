package dibs

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// callTimeout is long enough for a service that fails over, short enough that no caller hangs on it.
const callTimeout = 5 * time.Second

// Client is a client of Dibs. One per process is enough: it has one channel, over which any number of calls run at
// once. Make it with [New].
type Client struct {
	config config
	life   *lifetime
	held   *heldLeases
	// close ends the connections.
	close func()
	link  *link
	// sessions is nil if all calls are sent one by one.
	sessions sessions
	// calls makes the client's calls, one attempt each. unary makes each as a unary gRPC call.
	calls dibsv1.CoordinatorServiceClient
	unary dibsv1.CoordinatorServiceClient

	flights  *flights
	local    *localRebuilds
	presence *presence
	metrics  *metrics
	// near is nil without a near cache.
	near *nearCache
}

// New makes a client of the service. where is HOST:PORT, a list of these separated by commas, unix:///path, or
// dns:///HOST:PORT, whose addresses are used in turn. An empty target means DIBS_TARGET, or else 127.0.0.1:50051. New
// fails if the target is invalid, if a TLS file cannot be read, or if the token would travel unencrypted to another
// machine. It does not fail if the service cannot be reached.
func New(where string, options ...Option) (*Client, error) {
	config := configOf(where, options)
	if err := config.refused(); err != nil {
		return nil, err
	}
	life := newLifetime()
	c := &Client{
		config:   config,
		life:     life,
		held:     &heldLeases{},
		close:    func() {},
		local:    newLocalRebuilds(life),
		presence: &presence{log: config.log, target: shown(config.target)},
		metrics:  newMetrics(config.meters),
	}
	c.config.hooks = config.hooks.logged(c.presence.logger)
	c.flights = newFlights(life, c.watches)
	if config.near != nil && config.session {
		c.near = newNearCache(*config.near, config.calls.namespace, c.metrics.hits)
		c.flights.near = c.near
	}
	c.link = &link{conn: config.conn, token: config.token, connect: config.connect}
	// The addresses of a caller's own connection are unknown.
	to := target{}
	if config.conn == nil {
		var err error
		if to, err = targetOf(config.target); err != nil {
			return nil, err
		}
		conn, err := dial(config, to)
		if err != nil {
			return nil, err
		}
		c.link.conn = conn
		c.close = func() { _ = conn.Close() }
	}
	// They were not read with a caller's own connection, and may be a key instead of its path. A print of the client has
	// all its fields.
	c.config.tlsCA, c.config.tlsCert, c.config.tlsKey = "", "", ""
	c.unary = dibsv1.NewCoordinatorServiceClient(c.link)
	c.calls = c.unary
	if config.session {
		c.useSessions(to)
	}
	return c, nil
}

func (c *Client) useSessions(to target) {
	create := func() *session {
		its := &session{stub: c.unary, connect: c.config.connect, holder: c.config.holder, listener: c}
		if c.near != nil {
			its.watched = c.near.namespaces()
		}
		return its
	}
	// Each process gives keys to replicas in its own way, so a key that all processes want does not load one replica only.
	salt := rand.Uint32()
	if c.config.keyAffinity {
		salt = 0
	}
	c.sessions = newSessionPool(c.life, salt, create, addressesOf(to))
	closeLink := c.close
	c.close = func() {
		c.sessions.close()
		closeLink()
	}
	c.calls = dibsv1.NewCoordinatorServiceClient(&sessionOrUnary{link: c.link, sessions: c.sessions, life: c.life})
}

// changed is called when something in a namespace has changed.
func (c *Client) changed(what change) {
	c.flights.changed(what)
	c.local.changed(what)
}

func (c *Client) leaseLost(token string) { c.held.lost(token) }

func (c *Client) invalidated(what *dibsv1.Invalidated) {
	c.changed(change{cmp.Or(what.GetNamespace(), "default"), what.GetKeys(), what.GetTags(), what.GetAll()})
}

// sessionBegan: the service was there, and its sessions report only changes from now on.
func (c *Client) sessionBegan() {
	c.local.forget()
	if c.near != nil {
		c.near.began()
	}
}

func (c *Client) sessionOpened(line *heartbeat) {
	if c.near != nil {
		c.near.opened(line)
	}
}

func (c *Client) sessionOver(line *heartbeat) {
	if c.near != nil {
		c.near.over(line)
	}
}

func (c *Client) sessionChanged() { c.flights.changedAll() }

// watches reports whether a live session reports every change in the namespace.
func (c *Client) watches(namespace string) bool { return c.near != nil && c.near.watches(namespace) }

// Flush waits until background work has ended: rebuilds behind a stale value, and repeated publishes. Call it before
// [Client.Close], which aborts them. It fails when ctx ends.
func (c *Client) Flush(ctx context.Context) error { return c.life.flush(ctx) }

// Stub returns the contract's stub with the client's token: unary calls, one attempt each, that fail with an [Error].
// The caller sets namespace, holder and deadline.
func (c *Client) Stub() dibsv1.CoordinatorServiceClient { return c.unary }

// Close ends the client. Open calls end with an [Error], rebuilds end by their context, and their leases are given
// back. The connection is closed when all have ended. Close does not wait for that, and returns nil.
func (c *Client) Close() error {
	c.life.close(c.close)
	return nil
}
