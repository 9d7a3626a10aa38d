package dibs

import (
	"context"
	"time"

	"google.golang.org/grpc/connectivity"
)

// readyWithin bounds [Client.Ready] if its context has no deadline.
const readyWithin = 10 * time.Second

// Ready waits for the first connection, so that the first calls of a process find the service. It fails when ctx ends,
// or after 10 s if ctx has no deadline.
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
		// If there is none, calls are sent one by one.
		_ = c.sessions.settle(ctx)
	}
	if ctx.Err() != nil {
		return gone(ctx)
	}
	return nil
}

// ready waits until there is a connection, after any number of attempts.
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
