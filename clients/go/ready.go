package dibs

import (
	"context"
	"time"

	"google.golang.org/grpc/connectivity"
)

// readyWithin bounds [Client.Ready] where its context has no deadline.
const readyWithin = 10 * time.Second

// Ready waits until the first connection stands, so that the first calls of a process find the service. It fails as
// ctx ends; where that has no deadline, after 10 s.
func (c *Client) Ready(ctx context.Context) error {
	leave, err := c.life.enter()
	if err != nil {
		return err
	}
	defer leave()
	if _, isBounded := ctx.Deadline(); !isBounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readyWithin)
		defer cancel()
	}
	if err := c.link.ready(ctx); err != nil {
		return err
	}
	if c.sessions != nil {
		// If there is none, calls go one by one.
		_ = c.sessions.settle(ctx)
	}
	if ctx.Err() != nil {
		return gone(ctx)
	}
	return nil
}

// ready waits until there is a connection, however often that fails.
func (l *link) ready(ctx context.Context) error {
	conn, ok := l.conn.(watchable)
	if !ok {
		return nil
	}
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return gone(ctx)
		}
	}
}
