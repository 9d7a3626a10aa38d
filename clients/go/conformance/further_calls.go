package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// manyScript is what a scenario defines for a rebuild of several keys, in addition to a rebuild of one.
type manyScript struct {
	// Values are by key; null for nothing. A key that is neither here nor covered by Each is left out.
	Values map[string]json.RawMessage `json:"values"`
	Each   []byte                     `json:"each"`
	// Of has the options of single keys.
	Of map[string]script `json:"of"`
}

// valuesOf returns the values of these keys. A key without one is left out.
func (s manyScript) valuesOf(ctx context.Context, keys []string) map[string][]byte {
	values := map[string][]byte{}
	for _, key := range keys {
		s.Of[key].sayHowToStore(dibs.ForKey(ctx, key))
		value := s.Each
		if text, ok := s.Values[key]; ok {
			value = nil
			_ = json.Unmarshal(text, &value)
		}
		if value != nil {
			values[key] = value
		}
	}
	return values
}

// manyError is the error of a call for several keys of which some failed.
type manyError struct {
	*dibs.ManyError
	values result
}

func (a *actor) get(ctx context.Context, client *dibs.Client, f fields) (any, error) {
	options := []dibs.GetOption{
		dibs.WithStale(map[string]dibs.Stale{"allow": dibs.StaleAllow, "forbid": dibs.StaleForbid}[f.Stale]),
		dibs.WithRead(map[string]dibs.Read{"near": dibs.ReadNear, "store": dibs.ReadStore}[f.Read]),
	}
	if f.WaitMs.isSet {
		options = append(options, dibs.WithWait(f.WaitMs.its))
	}
	var value []byte
	var found bool
	var err error
	if f.Codec == "json" {
		var text string
		text, found, err = dibs.Get[string](ctx, client, f.Key, options...)
		value = []byte(text)
	} else {
		value, found, err = dibs.Get[[]byte](ctx, client, f.Key, options...)
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Canceled
	case errors.Is(err, dibs.ErrAbsent):
		return result{"found": "absent"}, nil
	case err != nil:
		return nil, err
	case !found:
		return result{"found": "nothing"}, nil
	default:
		return result{"found": "value", "value": base64.StdEncoding.EncodeToString(value)}, nil
	}
}

func (a *actor) set(ctx context.Context, client *dibs.Client, f fields) (any, error) {
	options := []dibs.SetOption{dibs.WithTTL(f.TTLMs.its), dibs.WithTags(f.Tags...)}
	if f.StaleMs.isSet {
		options = append(options, dibs.WithStaleFor(f.StaleMs.its))
	}
	if f.WaitMs.isSet {
		options = append(options, dibs.WithWait(f.WaitMs.its))
	}
	stored, err := dibs.Stored{}, error(nil)
	switch {
	case f.Absent:
		stored, err = dibs.SetAbsent(ctx, client, f.Key, options...)
	case f.Codec == "json":
		stored, err = dibs.Set(ctx, client, f.Key, string(f.Value), options...)
	default:
		stored, err = dibs.Set(ctx, client, f.Key, f.Value, options...)
	}
	if ctx.Err() != nil {
		return nil, context.Canceled
	}
	return result{"outcome": stored.Outcome, "stored": stored.IsStored}, err
}

func (a *actor) getOrRebuildMany(ctx context.Context, client *dibs.Client, f fields) (any, error) {
	var times atomic.Int64
	rebuild := func(ctx context.Context, keys []string) (map[string][]byte, error) {
		a.emit(map[string]any{"event": "rebuild", "call": f.Call, "keys": slices.Sorted(slices.Values(keys))})
		script := f.Rebuild.at(int(times.Add(1)) - 1)
		_, err := script.follow(ctx, &a.gates, func(ctx context.Context, asked fields) ([]byte, error) {
			asked.Call = f.Call
			return a.fetch(ctx, client, asked)
		})
		if errors.Is(err, dibs.ErrAbsent) {
			return nil, nil
		}
		return script.valuesOf(ctx, keys), err
	}
	var values map[string][]byte
	var err error
	if f.Codec == "json" {
		var texts map[string]string
		texts, err = dibs.FetchMany(ctx, client, f.Keys, func(ctx context.Context, keys []string) (map[string]string, error) {
			values, err := rebuild(ctx, keys)
			return converted(values, func(value []byte) string { return string(value) }), err
		}, f.fetchOptions()...)
		values = converted(texts, func(text string) []byte { return []byte(text) })
	} else {
		values, err = dibs.FetchMany(ctx, client, f.Keys, rebuild, f.fetchOptions()...)
	}
	if ctx.Err() != nil {
		return nil, context.Canceled
	}
	var many *dibs.ManyError
	isMany := errors.As(err, &many)
	byKey := result{}
	for _, key := range f.Keys {
		if value, ok := values[key]; ok {
			byKey[key] = base64.StdEncoding.EncodeToString(value)
		} else if !isMany || many.Errors[key] == nil {
			byKey[key] = nil
		}
	}
	if isMany {
		return nil, &manyError{many, byKey}
	}
	return result{"values": byKey}, err
}

func converted[From, To any](values map[string]From, to func(From) To) map[string]To {
	converted := map[string]To{}
	for key, value := range values {
		converted[key] = to(value)
	}
	return converted
}

func (a *actor) explain(ctx context.Context, client *dibs.Client, f fields) (any, error) {
	its, err := client.Explain(ctx, f.Key)
	if err != nil {
		return nil, err
	}
	named := func(prefix, word string) string { return prefix + "_" + strings.ToUpper(word) }
	explained := result{"waiters": its.Waiters, "fence": its.Fence, "degraded": named("DEGRADED", its.Degraded)}
	if lease := its.Lease; lease != nil {
		explained["lease"] = result{
			"holder":      lease.Holder,
			"fence":       lease.Fence,
			"ageMs":       lease.Age.Milliseconds(),
			"expiresInMs": lease.ExpiresIn.Milliseconds(),
			"reason":      named("LEASE_REASON", lease.Reason),
			"traceparent": lease.Traceparent,
		}
	}
	if value := its.Value; value != nil {
		explained["value"] = result{
			"absent":     value.IsAbsent,
			"freshness":  named("FRESHNESS", value.Freshness),
			"sizeBytes":  value.SizeBytes,
			"ageMs":      value.Age.Milliseconds(),
			"freshForMs": value.FreshFor.Milliseconds(),
			"staleForMs": value.StaleFor.Milliseconds(),
			"fence":      value.Fence,
			"tags":       value.Tags,
		}
	}
	past := []result{}
	for _, lease := range its.PastLeases {
		past = append(past, result{
			"holder":         lease.Holder,
			"fence":          lease.Fence,
			"heldMs":         lease.HeldFor.Milliseconds(),
			"endedAgoMs":     lease.EndedAgo.Milliseconds(),
			"end":            named("LEASE_END", lease.End),
			"failureMessage": lease.FailureMessage,
		})
	}
	explained["pastLeases"] = past
	if failed := its.Failed; failed != nil {
		explained["failed"] = result{"message": failed.Message, "retryAfterMs": failed.RetryAfter().Milliseconds()}
	}
	return explained, nil
}

// faultsOf describes the fault of each key, and the values of all others.
func faultsOf(many *manyError) map[string]any {
	faults := map[string]any{}
	for key, err := range many.Errors {
		faults[key] = faultOf(err)
	}
	return map[string]any{"kind": "many", "message": many.Error(), "errors": faults, "values": many.values}
}
