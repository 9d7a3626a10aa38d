package dibs

import (
	"context"
	"errors"
)

// Get returns the cached value of a key, without a rebuild and without a lease. found reports whether there is an
// answer: a value, fresh or stale, or the fact that the source has nothing, which is [ErrAbsent]. Nothing is found if
// nothing is cached, if the codec cannot read the value, or if the last rebuild failed.
//
// It does not wait for a running rebuild, unless [WithWait] is set. It fails with an [Error] for bad input or if the
// service cannot be reached, unless the near cache serves then; and when ctx ends.
func Get[T any](ctx context.Context, client *Client, key string, options ...GetOption) (value T, found bool, err error) {
	its := client.config.calls
	its.wait = named(0)
	for _, option := range options {
		option.applyToFetch(&its)
	}
	steps := &fetchLoop{
		Client:       client,
		fetchOptions: its,
		id:           valueIDOf(its.namespace, key),
		isGet:        true,
	}
	steps.decode = func(data []byte) error {
		var fresh T
		err := unmarshal(its.codec, data, &fresh)
		if err == nil {
			value = fresh
		}
		return err
	}
	if err := its.refusedRead(key); err != nil {
		return value, false, err
	}
	got := client.ask(ctx, steps)
	switch err := steps.valueOf(got).(type) {
	case nil:
		its.tellFreshness(got)
		return value, true, nil
	case *absentError:
		its.tellFreshness(got)
		return value, true, err
	case *BusyError, *RebuildFailedError:
		return value, false, nil
	case *UndecodableError:
		steps.tellUndecodable(err)
		return value, false, nil
	default:
		return value, false, err
	}
}

// isAbsence reports whether an error means that the source has nothing.
func isAbsence(err error) bool { return errors.Is(err, ErrAbsent) }
