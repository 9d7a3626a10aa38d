package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// overhead is the cost of a hit by Fetch compared with the stub's plain GetOrLock, in microseconds of wall time: the
// median of three rounds.
func overhead(client *dibs.Client, f fields) (any, error) {
	ctx := context.Background()
	var keys []string
	for at := range f.InFlight {
		keys = append(keys, fmt.Sprintf("%s %d", f.Key, at))
	}
	fetch := func(at int) error {
		_, err := dibs.Fetch(ctx, client, keys[at], func(context.Context) ([]byte, error) {
			return bytes.Repeat([]byte("x"), 100), nil
		}, dibs.WithTTL(time.Hour))
		return err
	}
	bare, name := func(request *dibsv1.GetOrLockRequest) error {
		_, err := client.Stub().GetOrLock(ctx, request)
		return err
	}, "unary"
	if f.Session == nil || *f.Session {
		session, err := openBare(ctx, client.Stub())
		if err != nil {
			return nil, err
		}
		defer session.close()
		bare, name = session.getOrLock, "session"
	}
	stub := func(at int) error {
		request := &dibsv1.GetOrLockRequest{Key: keys[at]}
		if f.Namespace != nil {
			request.Namespace = *f.Namespace
		}
		return bare(request)
	}
	for at := range keys {
		if err := fetch(at); err != nil {
			return nil, err
		}
	}
	var byStub, byClient []float64
	for range 3 {
		for _, side := range []struct {
			once func(int) error
			took *[]float64
		}{{stub, &byStub}, {fetch, &byClient}} {
			mean, err := meanOf(f.Calls, f.InFlight, side.once)
			if err != nil {
				return nil, err
			}
			*side.took = append(*side.took, mean)
		}
	}
	slices.Sort(byStub)
	slices.Sort(byClient)
	return result{"client_us": byClient[1], "stub_us": byStub[1], "stub": name}, nil
}

// meanOf is the wall time of a call in microseconds, with this many in flight.
func meanOf(calls, inFlight int, once func(at int) error) (float64, error) {
	var left atomic.Int64
	left.Store(int64(calls))
	errs := make(chan error, inFlight)
	start := time.Now()
	var workers sync.WaitGroup
	for at := range inFlight {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := once(at); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(took.Microseconds()) / float64(calls), nil
	}
}
