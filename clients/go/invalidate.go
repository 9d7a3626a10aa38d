package dibs

import (
	"cmp"
	"context"
	"slices"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// invalidatedKeysMax is the contract's bound of one request.
const invalidatedKeysMax = 1000

// Invalidation names what is out of date: keys, tags, or everything in the namespace. Where it names nothing, nothing
// is done.
type Invalidation struct {
	// Namespace is the client's where it is empty.
	Namespace string
	// Keys: any number. Every 1000 of them are a request of their own.
	Keys []string
	// Tags: any number. Every 16 of them are a request of their own.
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
// then invalidate. It makes one attempt of at most 5 s for each request, and is safe to repeat. It fails with an
// [Error], or as ctx ends, and says what it has done until then.
func (c *Client) Invalidate(ctx context.Context, what Invalidation) (Invalidated, error) {
	leave, err := c.life.enter()
	if err != nil {
		return Invalidated{}, err
	}
	defer leave()
	namespace := cmp.Or(what.Namespace, c.config.calls.namespace)
	if err := firstOf(text("namespace", namespace), text("keys", what.Keys...), text("tags", what.Tags...)); err != nil {
		return Invalidated{}, err
	}
	var done Invalidated
	for _, request := range what.requests(namespace) {
		response, err := c.calls.Invalidate(ctx, request, within{timeout: callTimeout})
		// Also where it failed: the service may have done it.
		c.changed(change{cmp.Or(namespace, "default"), request.Keys, request.Tags, request.All})
		if err != nil && ctx.Err() != nil {
			return done, gone(ctx)
		}
		if err != nil {
			return done, err
		}
		done.Keys += response.GetKeysInvalidated()
		done.Leases += response.GetLeasesVoided()
	}
	return done, nil
}

// requests are as few as the contract allows.
func (what Invalidation) requests(namespace string) []*dibsv1.InvalidateRequest {
	mode := dibsv1.InvalidateMode_INVALIDATE_MODE_DELETE
	if what.MarkStale {
		mode = dibsv1.InvalidateMode_INVALIDATE_MODE_MARK_STALE
	}
	keys, tags := slices.Collect(slices.Chunk(what.Keys, invalidatedKeysMax)), slices.Collect(slices.Chunk(what.Tags, tagsMax))
	var requests []*dibsv1.InvalidateRequest
	for at := range max(len(keys), len(tags)) {
		request := &dibsv1.InvalidateRequest{Namespace: namespace, Mode: mode}
		if at < len(keys) {
			request.Keys = keys[at]
		}
		if at < len(tags) {
			request.Tags = tags[at]
		}
		requests = append(requests, request)
	}
	if what.All {
		// That keys or tags stand beside it is for the service to refuse.
		if len(requests) == 0 {
			requests = append(requests, &dibsv1.InvalidateRequest{Namespace: namespace, Mode: mode})
		}
		requests[0].All = true
	}
	return requests
}
