package dibs

import (
	"context"
	"slices"
)

// Cached is one kind of value in the cache: how its keys look, and how its values are stored. Make it once, beside the
// code that reads the source. Any number of goroutines may use it.
//
//	var users = dibs.NewCached[User](client, "user:", dibs.WithTTL(time.Minute))
//	...
//	user, err := users.Fetch(ctx, "42", loadUser)
type Cached[T any] struct {
	client *Client
	key    func(id string) string
	// options come before those of a call, which take precedence.
	options []FetchOption
}

// NewCached returns a Cached whose keys begin with prefix: the key of "42" is prefix + "42". The options apply to all
// calls. One that does not fit a call has no effect there, such as a TTL for Get. A wait affects Get only if its own
// call sets it.
func NewCached[T any](client *Client, prefix string, options ...FetchOption) *Cached[T] {
	return NewCachedFunc[T](client, func(id string) string { return prefix + id }, options...)
}

// NewCachedFunc returns a Cached whose keys are made by key. It must return different keys for different ids.
func NewCachedFunc[T any](client *Client, key func(id string) string, options ...FetchOption) *Cached[T] {
	return &Cached[T]{client: client, key: key, options: slices.Clone(options)}
}

// Key returns the key of an id.
func (c *Cached[T]) Key(id string) string { return c.key(id) }

// Get is [Get] for an id.
func (c *Cached[T]) Get(ctx context.Context, id string, options ...GetOption) (value T, found bool, err error) {
	return Get[T](ctx, c.client, c.key(id), append([]GetOption{c.bound(), WithWait(0)}, options...)...)
}

// Fetch is [Fetch] for an id.
func (c *Cached[T]) Fetch(
	ctx context.Context,
	id string,
	rebuild func(ctx context.Context, id string) (T, error),
	options ...FetchOption,
) (T, error) {
	rebuildKey := func(ctx context.Context) (T, error) { return rebuild(ctx, id) }
	return Fetch(ctx, c.client, c.key(id), rebuildKey, append([]FetchOption{c.bound()}, options...)...)
}

// FetchMany is [FetchMany] for ids: rebuild gets ids and returns values by id, and so does FetchMany. The errors of a
// [ManyError] are by id too. Use [Cached.ForID] instead of [ForKey].
func (c *Cached[T]) FetchMany(
	ctx context.Context,
	ids []string,
	rebuild func(ctx context.Context, ids []string) (map[string]T, error),
	options ...FetchOption,
) (map[string]T, error) {
	idOf := make(map[string]string, len(ids))
	keys := make([]string, len(ids))
	for at, id := range ids {
		keys[at] = c.key(id)
		idOf[keys[at]] = id
	}
	rebuildKeys := func(ctx context.Context, keys []string) (map[string]T, error) {
		asked := make([]string, len(keys))
		for at, key := range keys {
			asked[at] = idOf[key]
		}
		values, err := rebuild(ctx, asked)
		return renamed(values, c.key), err
	}
	back := func(key string) string { return idOf[key] }
	values, err := FetchMany(ctx, c.client, keys, rebuildKeys, append([]FetchOption{c.bound()}, options...)...)
	if many, ok := err.(*ManyError); ok {
		err = &ManyError{renamed(many.Errors, back)}
	}
	return renamed(values, back), err
}

// ForID is [ForKey] for an id.
func (c *Cached[T]) ForID(ctx context.Context, id string) context.Context {
	return ForKey(ctx, c.key(id))
}

// Set is [Set] for an id.
func (c *Cached[T]) Set(ctx context.Context, id string, value T, options ...SetOption) (Stored, error) {
	return Set(ctx, c.client, c.key(id), value, append([]SetOption{c.bound()}, options...)...)
}

// SetAbsent is [SetAbsent] for an id.
func (c *Cached[T]) SetAbsent(ctx context.Context, id string, options ...SetOption) (Stored, error) {
	return SetAbsent(ctx, c.client, c.key(id), append([]SetOption{c.bound()}, options...)...)
}

// Invalidate is [Client.Invalidate] for ids.
func (c *Cached[T]) Invalidate(ctx context.Context, ids ...string) (Invalidated, error) {
	var its fetchOptions
	c.bound().applyToFetch(&its)
	keys := make([]string, len(ids))
	for at, id := range ids {
		keys[at] = c.key(id)
	}
	return c.client.Invalidate(ctx, Invalidation{Namespace: its.namespace, Keys: keys})
}

// Explain is [Client.Explain] for an id.
func (c *Cached[T]) Explain(ctx context.Context, id string) (*Explanation, error) {
	return c.client.Explain(ctx, c.key(id), c.bound())
}

// bound returns all of its options as one option of any call.
func (c *Cached[T]) bound() CallOption {
	return callOption{func(f *fetchOptions) {
		for _, option := range c.options {
			option.applyToFetch(f)
		}
	}}
}

// renamed returns nil for nil: an error of the whole call comes without results.
func renamed[T any](values map[string]T, name func(string) string) map[string]T {
	if values == nil {
		return nil
	}
	its := make(map[string]T, len(values))
	for key, value := range values {
		its[name(key)] = value
	}
	return its
}
