package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

const ttl = time.Hour

// openWays opens all ways, each with separate connections.
func openWays(service, store string, lockNodes []string, embedded string) map[string]way {
	return map[string]way{
		"near":       dibsWay(service, dibs.WithNearCache(dibs.NearCache{MaxBytes: 64 << 20})),
		"embedded":   dibsWay(embedded, dibs.WithNearCache(dibs.NearCache{MaxBytes: 64 << 20})),
		"near json":  dibsJSONWay(service, dibs.WithNearCache(dibs.NearCache{MaxBytes: 64 << 20})),
		"session":    dibsWay(service),
		"aside":      asideWay(store),
		"aside json": inJSON(asideWay(store)),
		"get":        getWay(store),
		"redsync":    redsyncWay(store, lockNodes),
	}
}

// dibsWay has raw bytes without JSON, like the values of rueidisaside.
func dibsWay(service string, options ...dibs.Option) way {
	client := dibsClient(service, options)
	return func(ctx context.Context, key string, rebuild func() string) (string, error) {
		got, err := dibs.Fetch(ctx, client, key, func(context.Context) ([]byte, error) { return []byte(rebuild()), nil })
		return string(got), err
	}
}

// dibsJSONWay has texts that the client writes and reads as JSON.
func dibsJSONWay(service string, options ...dibs.Option) way {
	client := dibsClient(service, options)
	return func(ctx context.Context, key string, rebuild func() string) (string, error) {
		return dibs.Fetch(ctx, client, "json:"+key, func(context.Context) (string, error) { return rebuild(), nil })
	}
}

func dibsClient(service string, options []dibs.Option) *dibs.Client {
	client, err := dibs.New(service, append(options, dibs.WithTTL(ttl), dibs.WithWait(waitMax))...)
	fail(err)
	fail(client.Ready(context.Background()))
	return client
}

// inJSON writes and reads the values of another way as JSON.
func inJSON(its way) way {
	return func(ctx context.Context, key string, rebuild func() string) (string, error) {
		text, err := its(ctx, "json:"+key, func() string {
			written, err := json.Marshal(rebuild())
			fail(err)
			return string(written)
		})
		if err != nil {
			return "", err
		}
		var got string
		err = json.Unmarshal([]byte(text), &got)
		return got, err
	}
}

func asideWay(store string) way {
	client, err := rueidisaside.NewClient(rueidisaside.ClientOption{ClientOption: rueidis.ClientOption{InitAddress: []string{store}}})
	fail(err)
	return func(ctx context.Context, key string, rebuild func() string) (string, error) {
		return client.Get(ctx, ttl, "aside:"+key, func(context.Context, string) (string, error) { return rebuild(), nil })
	}
}

// getWay is a plain GET, in the automatic pipelines of rueidis, without a lock.
func getWay(store string) way {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{store}, DisableCache: true})
	fail(err)
	return func(ctx context.Context, key string, rebuild func() string) (string, error) {
		got, err := client.Do(ctx, client.B().Get().Key("get:"+key).Build()).ToString()
		if !rueidis.IsRedisNil(err) {
			return got, err
		}
		got = rebuild()
		return got, client.Do(ctx, client.B().Set().Key("get:"+key).Value(got).Ex(ttl).Build()).Error()
	}
}

// redsyncWay reads, takes the lock on all lock nodes, reads again, rebuilds and stores. A caller that does not get the
// lock retries as long as its time allows.
func redsyncWay(store string, lockNodes []string) way {
	values := redis.NewClient(&redis.Options{Addr: store})
	var pools []redsyncredis.Pool
	for _, node := range lockNodes {
		pools = append(pools, goredis.NewPool(redis.NewClient(&redis.Options{Addr: node})))
	}
	locks := redsync.New(pools...)
	return func(ctx context.Context, key string, rebuild func() string) (string, error) {
		got, err := values.Get(ctx, "redsync:"+key).Result()
		if !errors.Is(err, redis.Nil) {
			return got, err
		}
		// Its defaults: 8 s, and pauses of 50 to 250 ms. It reads the value between its tries.
		for {
			mutex := locks.NewMutex("lock:"+key, redsync.WithTries(1))
			if mutex.LockContext(ctx) == nil {
				defer func() { _, _ = mutex.UnlockContext(ctx) }()
				break
			}
			if err := pause(ctx); err != nil {
				return "", err
			}
			if got, err := values.Get(ctx, "redsync:"+key).Result(); !errors.Is(err, redis.Nil) {
				return got, err
			}
		}
		if got, err := values.Get(ctx, "redsync:"+key).Result(); !errors.Is(err, redis.Nil) {
			return got, err
		}
		got = rebuild()
		return got, values.Set(ctx, "redsync:"+key, got, ttl).Err()
	}
}

// pause returns a time like redsync's own between two tries: 50 to 250 ms.
func pause(ctx context.Context) error {
	select {
	case <-time.After(50*time.Millisecond + rand.N(200*time.Millisecond)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
