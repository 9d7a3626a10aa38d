package dibs

import (
	"context"
	"fmt"
)

// fetchID: calls with the same of these get the same answer, so that one of them asks for all.
type fetchID struct {
	namespace     string
	key           string
	stale         Stale
	revalidate    Revalidate
	wait          duration
	onUnavailable OnUnavailable
}

// Fetch is the value of a key: from the cache, from another caller's rebuild, or from rebuild, which at most one caller
// in the fleet runs at a time. A rebuild returns [ErrAbsent] where the source has nothing; its context ends, with the
// cause [ErrLeaseLost], when its result would not be stored any more, or when nobody waits for it; [LeaseFrom] its
// context says what is known of the lease. It must not share what it returns.
//
// Fetch fails with what rebuild returned, which is [ErrAbsent] for all where the source has nothing; with a
// [RebuildFailedError] where another caller's rebuild failed and its back-off runs; with a [BusyError] where the wait
// ended first; with an [Error] for bad input, and with [OnUnavailableFail] where the service cannot be reached; with the
// codec's error where the value cannot be read; and as ctx ends.
func Fetch[T any](
	ctx context.Context,
	client *Client,
	key string,
	rebuild func(ctx context.Context) (T, error),
	options ...FetchOption,
) (T, error) {
	var value T
	its := client.config.calls
	for _, option := range options {
		option.applyToFetch(&its)
	}
	rebuildBytes := func(ctx context.Context) ([]byte, error) {
		value, err := rebuild(ctx)
		if err != nil {
			return nil, err
		}
		return its.codec.Marshal(value)
	}
	data, err := client.fetch(ctx, &fetchLoop{Client: client, fetchOptions: its, key: key, rebuild: rebuildBytes})
	if err != nil {
		return value, err
	}
	if err := its.codec.Unmarshal(data, &value); err != nil {
		return value, fmt.Errorf("dibs: the value of %q cannot be read: %w", key, err)
	}
	return value, nil
}

// fetch joins the fetch loop to an equal one, if there is one under way.
func (c *Client) fetch(ctx context.Context, steps *fetchLoop) ([]byte, error) {
	if err := steps.refused(steps.key); err != nil {
		return nil, err
	}
	leave, err := c.life.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	id := fetchID{
		namespace:     steps.namespace,
		key:           steps.key,
		stale:         steps.stale,
		revalidate:    steps.revalidate,
		wait:          steps.wait,
		onUnavailable: steps.onUnavailable,
	}
	fetches := c.fetches
	// Whoever reads the store or refreshes wants what is newer than the call, and not what an earlier one has read.
	if steps.read == ReadStore || steps.refresh {
		fetches = newFlights[fetchID](c.life)
	}
	return fetches.join(ctx, id, steps.run)
}
