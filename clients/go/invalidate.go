package dibs

import (
	"cmp"
	"context"
	"slices"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// invalidatedKeysMax is the contract's bound of one request.
const invalidatedKeysMax = 1000

// Invalidation names outdated values: keys, tags, or everything in the namespace. If it names nothing, nothing is done.
type Invalidation struct {
	// Namespace is the client's if empty.
	Namespace string
	// Keys is any number of keys. Each request carries up to 1000 of them.
	Keys []string
	// Tags is any number of tags. Each request carries up to 16 of them.
	Tags []string
	// All is the whole namespace, without keys and tags.
	All bool
	// MarkStale keeps the values as stale for the rest of their stale time. Otherwise they are deleted.
	MarkStale bool
}

// Invalidated is the result of an invalidation. It does not count what was reached by tag or by All.
type Invalidated struct {
	// Keys is how many of the keys had a value.
	Keys int64
	// Leases is how many running rebuilds of the keys were voided. Their results will not be stored.
	Leases int64
}

// Invalidate drops values or marks them stale, and voids their running rebuilds. Commit to the source first, then
// invalidate. It makes one attempt of at most 5 s for each request, and is safe to repeat. It fails with an [Error], or
// when ctx ends, and returns what it has done until then.
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
		response, err := c.calls.Invalidate(tracedAs(ctx, ""), request, within{timeout: callTimeout})
		// Also if it failed, because the service may have done it.
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

// requests returns as few requests as the contract allows.
func (what Invalidation) requests(namespace string) []*dibsv1.InvalidateRequest {
	mode := dibsv1.InvalidateMode_INVALIDATE_MODE_DELETE
	if what.MarkStale {
		mode = dibsv1.InvalidateMode_INVALIDATE_MODE_MARK_STALE
	}
	// Copies: a request may still be on its way after its caller has left, and the caller may use the slices again.
	keys := slices.Collect(slices.Chunk(slices.Clone(what.Keys), invalidatedKeysMax))
	tags := slices.Collect(slices.Chunk(slices.Clone(what.Tags), tagsMax))
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
		// The service refuses keys or tags beside it.
		if len(requests) == 0 {
			requests = append(requests, &dibsv1.InvalidateRequest{Namespace: namespace, Mode: mode})
		}
		requests[0].All = true
	}
	return requests
}
