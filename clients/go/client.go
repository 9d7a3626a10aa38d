package dibs

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// callTimeout is long enough for a service that fails over, short enough that nobody hangs on it.
const callTimeout = 5 * time.Second

// Client is a client of Dibs. One for each process is enough: it holds one channel, over which any number of calls go
// at once. It must be made by [New].
type Client struct {
	config config
	life   *lifetime
	held   *heldLeases
	// close ends the connections.
	close func()
	// calls makes calls as the client does, one attempt each; unary makes each as a gRPC call of its own.
	calls dibsv1.CoordinatorServiceClient
	unary dibsv1.CoordinatorServiceClient

	fetches *flights[fetchID]
	local   *flights[localID]
}

// New makes a client of the service at target: HOST:PORT, unix:///path, or dns:///HOST:PORT, whose addresses are used in
// turn. An empty target is DIBS_TARGET, else 127.0.0.1:50051. It fails where the target makes no sense or the TLS
// authorities cannot be read, and not because the service is out of reach.
func New(target string, options ...Option) (*Client, error) {
	config := configOf(target, options)
	if err := firstOf(text("holder", config.holder), header("token", config.token)); err != nil {
		return nil, err
	}
	life := newLifetime()
	c := &Client{
		config:  config,
		life:    life,
		held:    &heldLeases{},
		close:   func() {},
		fetches: newFlights[fetchID](life),
		local:   newFlights[localID](life),
	}
	link := &link{conn: config.conn, token: config.token, connect: config.connect}
	if config.conn == nil {
		conn, err := dial(config)
		if err != nil {
			return nil, err
		}
		link.conn = conn
		c.close = func() { _ = conn.Close() }
	}
	c.unary = dibsv1.NewCoordinatorServiceClient(link)
	c.calls = c.unary
	if config.session {
		c.calls = dibsv1.NewCoordinatorServiceClient(c.withSession(link))
	}
	return c, nil
}

func (c *Client) withSession(link *link) grpc.ClientConnInterface {
	session := &session{
		stub:      c.unary,
		connect:   c.config.connect,
		holder:    c.config.holder,
		leaseLost: c.held.lost,
	}
	closeLink := c.close
	c.close = func() {
		session.close()
		closeLink()
	}
	return &sessionOrUnary{link: link, session: session}
}

// Invalidation names what is out of date: keys, tags, or everything in the namespace. At least one of the three.
type Invalidation struct {
	// Namespace is the client's where it is empty.
	Namespace string
	// Keys: at most 1000.
	Keys []string
	// Tags: at most 16.
	Tags []string
	// All is the whole namespace, without keys and tags.
	All bool
	// MarkStale leaves the values to be served stale for the rest of their time; else they are gone.
	MarkStale bool
}

// Invalidated says what an invalidation has found. What it reached by tag or by All is not counted.
type Invalidated struct {
	// Keys is how many of them had a value.
	Keys int64
	// Leases is how many rebuilds of the keys ran, and will not be stored.
	Leases int64
}

// Invalidate drops values, or marks them stale, and voids the rebuilds of them that run. Commit to the source first,
// then invalidate. It makes one attempt of at most 5 s, and is safe to repeat. It fails with an [Error], or as ctx ends.
func (c *Client) Invalidate(ctx context.Context, what Invalidation) (Invalidated, error) {
	leave, err := c.life.enter()
	if err != nil {
		return Invalidated{}, err
	}
	defer leave()
	request := &dibsv1.InvalidateRequest{
		Namespace: what.Namespace,
		Keys:      what.Keys,
		Tags:      what.Tags,
		All:       what.All,
		Mode:      dibsv1.InvalidateMode_INVALIDATE_MODE_DELETE,
	}
	if what.Namespace == "" {
		request.Namespace = c.config.calls.namespace
	}
	if what.MarkStale {
		request.Mode = dibsv1.InvalidateMode_INVALIDATE_MODE_MARK_STALE
	}
	if err := firstOf(text("namespace", request.Namespace), text("keys", what.Keys...), text("tags", what.Tags...)); err != nil {
		return Invalidated{}, err
	}
	response, err := c.calls.Invalidate(ctx, request, within{timeout: callTimeout})
	if ctx.Err() != nil && err != nil {
		return Invalidated{}, gone(ctx)
	}
	return Invalidated{Keys: response.GetKeysInvalidated(), Leases: response.GetLeasesVoided()}, err
}

// Stub is the contract itself, with the client's token: unary calls, one attempt each, that end with an [Error]. What
// it needs of namespace, holder and deadline its caller says.
func (c *Client) Stub() dibsv1.CoordinatorServiceClient { return c.unary }

// Close makes no more calls. What is under way ends: calls with an [Error], rebuilds by their context, and their leases
// are given back. The connection is let go of when all have ended; Close does not wait for that, and returns nil.
func (c *Client) Close() error {
	c.life.close(c.close)
	return nil
}
