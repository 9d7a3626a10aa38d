package dibstest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibstest"
)

var ttl = dibs.WithTTL(time.Minute)

func TestGetTellsAValueAnAbsenceAndNothingApart(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		get := func(options ...dibs.GetOption) (string, bool, error) {
			return dibs.Get[string](t.Context(), memory.Client, "k", options...)
		}
		if value, found, err := get(); value != "" || found || err != nil {
			t.Errorf("nothing: %q, %v, %v", value, found, err)
		}
		if stored, err := dibs.Set(t.Context(), memory.Client, "k", "v", ttl, dibs.WithStaleFor(time.Hour)); err != nil || !stored.IsStored || stored.Outcome != "stored" {
			t.Fatalf("got %v, %v", stored, err)
		}
		var freshness string
		if value, found, err := get(dibs.WithFreshness(&freshness)); value != "v" || !found || err != nil || freshness != "fresh" {
			t.Errorf("a value: %q, %v, %v, %s", value, found, err, freshness)
		}
		memory.Advance(time.Minute)
		if value, found, err := get(dibs.WithFreshness(&freshness)); value != "v" || !found || err != nil || freshness != "stale" {
			t.Errorf("a stale one: %q, %v, %v, %s", value, found, err, freshness)
		}
		if _, found, err := get(dibs.WithStale(dibs.StaleForbid)); found || err != nil {
			t.Errorf("a stale one that is not wanted: %v, %v", found, err)
		}
		if _, found, err := dibs.Get[int](t.Context(), memory.Client, "k"); found || err != nil {
			t.Errorf("one of another type: %v, %v", found, err)
		}
		if _, err := dibs.SetAbsent(t.Context(), memory.Client, "k", ttl); err != nil {
			t.Fatal(err)
		}
		if value, found, err := get(); value != "" || !found || !errors.Is(err, dibs.ErrAbsent) {
			t.Errorf("absent: %q, %v, %v", value, found, err)
		}
		if _, _, err := dibs.Get[string](t.Context(), memory.Client, ""); status.Code(err) != codes.InvalidArgument {
			t.Errorf("no key: %v", err)
		}
	})
}

func TestGetWaitsOnlyIfItIsToldTo(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		go func() {
			_, _ = dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) {
				time.Sleep(time.Second)
				return "v", nil
			}, ttl)
		}()
		synctest.Wait()
		began := time.Now()
		if _, found, err := dibs.Get[string](t.Context(), memory.Client, "k"); found || err != nil || time.Since(began) > 0 {
			t.Errorf("%v, %v after %v", found, err, time.Since(began))
		}
		value, found, err := dibs.Get[string](t.Context(), memory.Client, "k", dibs.WithWait(time.Minute))
		if value != "v" || !found || err != nil || time.Since(began) != time.Second {
			t.Errorf("%q, %v, %v after %v", value, found, err, time.Since(began))
		}
	})
}

func TestWhatIsSetComesAfterARebuildThatRuns(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		done := make(chan string)
		go func() {
			value, _ := dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) {
				time.Sleep(time.Second)
				return "old", nil
			}, ttl)
			done <- value
		}()
		synctest.Wait()
		if stored, err := dibs.Set(t.Context(), memory.Client, "k", "new", ttl); err != nil || !stored.IsStored {
			t.Errorf("got %v, %v", stored, err)
		}
		if value := <-done; value != "old" {
			t.Errorf("got %q", value)
		}
		value, found, err := dibs.Get[string](t.Context(), memory.Client, "k")
		if value != "new" || !found || err != nil {
			t.Errorf("got %q, %v, %v", value, found, err)
		}
	})
}

func TestSetRefusesBeforeAnythingIsSent(t *testing.T) {
	memory := dibstest.New()
	defer memory.Close()
	for name, set := range map[string]func() (dibs.Stored, error){
		"no time":        func() (dibs.Stored, error) { return dibs.Set(t.Context(), memory.Client, "k", 1) },
		"no time at all": func() (dibs.Stored, error) { return dibs.SetAbsent(t.Context(), memory.Client, "k", dibs.WithTTL(0)) },
		"an empty tag": func() (dibs.Stored, error) {
			return dibs.Set(t.Context(), memory.Client, "k", 1, ttl, dibs.WithTags(""))
		},
		"what is no JSON": func() (dibs.Stored, error) { return dibs.Set(t.Context(), memory.Client, "k", math.NaN(), ttl) },
	} {
		_, err := set()
		var fault *dibs.UnencodableError
		if status.Code(err) != codes.InvalidArgument && !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := dibs.Fetch(t.Context(), memory.Client, "k", func(ctx context.Context) (int, error) {
		_, err := dibs.Set(ctx, memory.Client, "k", 1, ttl)
		return 0, err
	}, ttl)
	var reentrant *dibs.ReentrantRebuildError
	if !errors.As(err, &reentrant) {
		t.Errorf("within the rebuild of the same key: %v", err)
	}
	if explained, err := memory.Explain(t.Context(), "k"); err != nil || explained.Value != nil {
		t.Errorf("got %v, %v", explained, err)
	}
}

// rows is a source that can be asked for many keys, and remembers for which.
type rows struct {
	mu    sync.Mutex
	asked [][]string
	its   map[string]string
	err   error
}

func (r *rows) load(_ context.Context, keys []string) (map[string]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, slices.Sorted(slices.Values(keys)))
	return r.its, r.err
}

func (r *rows) wants(t *testing.T, asked ...[]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.asked) != fmt.Sprint(asked) {
		t.Errorf("the source was asked for %v, and not for %v", r.asked, asked)
	}
}

func TestKeysThatAreMissingAreRebuiltByOneCall(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		_, _ = dibs.Set(t.Context(), memory.Client, "known", "cached", ttl)
		source := &rows{its: map[string]string{"a": "1", "b": "2", "more": "unasked"}}
		keys := []string{"b", "a", "known", "gone", "a"}
		for range 2 {
			values, err := dibs.FetchMany(t.Context(), memory.Client, keys, source.load, ttl)
			if wanted := map[string]string{"a": "1", "b": "2", "known": "cached"}; err != nil || !maps.Equal(values, wanted) {
				t.Errorf("got %v, %v", values, err)
			}
		}
		source.wants(t, []string{"a", "b", "gone"})
		if _, _, err := dibs.Get[string](t.Context(), memory.Client, "gone"); !errors.Is(err, dibs.ErrAbsent) {
			t.Errorf("what is left out is absent: %v", err)
		}
		if values, err := dibs.FetchMany(t.Context(), memory.Client, nil, source.load, ttl); err != nil || values == nil || len(values) > 0 {
			t.Errorf("no keys: %v, %v", values, err)
		}
	})
}

func TestAFailureOfManyIsThatOfEachKey(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		_, _ = dibs.Set(t.Context(), memory.Client, "known", "cached", ttl)
		down := errors.New("down")
		source := &rows{err: dibs.BackOff(down, time.Minute)}
		values, err := dibs.FetchMany(t.Context(), memory.Client, []string{"a", "b", "known"}, source.load, ttl)
		var many *dibs.ManyError
		if !errors.As(err, &many) || len(many.Errors) != 2 || !errors.Is(many.Errors["b"], down) || !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
		if err.Error() != `dibs: 2 keys failed; "a" is the first: down` {
			t.Errorf("it says %v", err)
		}
		if !maps.Equal(values, map[string]string{"known": "cached"}) {
			t.Errorf("got %v", values)
		}
		var failed *dibs.RebuildFailedError
		if _, err := dibs.FetchMany(t.Context(), memory.Client, []string{"a"}, source.load, ttl); !errors.As(err, &failed) {
			t.Errorf("got %v", err)
		}
		source.wants(t, []string{"a", "b"})
	})
}

func TestARebuildOfManyThatGoesWrong(t *testing.T) {
	for name, rebuild := range map[string]func(context.Context, []string) (map[string]any, error){
		"panics":                  func(context.Context, []string) (map[string]any, error) { panic("no source") },
		"has what is no JSON":     func(context.Context, []string) (map[string]any, error) { return map[string]any{"a": func() {}}, nil },
		"asks for one of its own": nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, memory *dibstest.Memory) {
				if rebuild == nil {
					rebuild = func(ctx context.Context, _ []string) (map[string]any, error) {
						var errs []error
						for _, key := range []string{"a", "b"} {
							_, err := dibs.Fetch(ctx, memory.Client, key, func(context.Context) (int, error) { return 0, nil }, ttl)
							var reentrant *dibs.ReentrantRebuildError
							if !errors.As(err, &reentrant) || reentrant.Key != key {
								t.Errorf("%s: %v", key, err)
							}
							errs = append(errs, err)
						}
						return nil, errors.Join(errs...)
					}
				}
				_, err := dibs.FetchMany(t.Context(), memory.Client, []string{"a", "b"}, rebuild, ttl)
				var many *dibs.ManyError
				var panicked *dibs.PanicError
				var fault *dibs.UnencodableError
				var reentrant *dibs.ReentrantRebuildError
				if !errors.As(err, &many) || !(errors.As(err, &panicked) || errors.As(err, &fault) || errors.As(err, &reentrant)) {
					t.Errorf("got %v", err)
				}
				explained, err := memory.Explain(t.Context(), "a")
				if err != nil || explained.Lease != nil || explained.Failed == nil {
					t.Errorf("got %v, %v", explained, err)
				}
			})
		})
	}
}

func TestEachValueOfManyHasItsOwnTerms(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		_, err := dibs.FetchMany(t.Context(), memory.Client, []string{"all", "one", "none"}, func(ctx context.Context, keys []string) (map[string]int, error) {
			if dibs.LeaseFrom(ctx).Fence != 0 || dibs.LeaseFrom(dibs.ForKey(ctx, "one")).Reason != "miss" {
				t.Error("the lease is that of a key")
			}
			return map[string]int{"all": 1, "one": 1, "none": 1}, errors.Join(
				dibs.ForValue(ctx, dibs.WithTags("t")),
				dibs.ForValue(dibs.ForKey(ctx, "one"), dibs.WithTTL(time.Hour)),
				dibs.DoNotStore(dibs.ForKey(ctx, "none")),
			)
		}, ttl)
		if err != nil {
			t.Fatal(err)
		}
		for key, freshFor := range map[string]time.Duration{"all": time.Minute, "one": time.Hour, "none": 0} {
			explained, err := memory.Explain(t.Context(), key)
			switch {
			case err != nil:
				t.Error(err)
			case freshFor == 0 && explained.Value != nil, freshFor > 0 && (explained.Value == nil || explained.Value.FreshFor != freshFor || fmt.Sprint(explained.Value.Tags) != "[t]"):
				t.Errorf("%s: %+v", key, explained.Value)
			}
		}
	})
}

func TestStaleValuesOfManyAreServedAndRebuiltBehindByOneCall(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		source := &rows{its: map[string]string{"a": "old", "b": "old"}}
		fetch := func() map[string]string {
			values, err := dibs.FetchMany(t.Context(), memory.Client, []string{"a", "b"}, source.load, ttl, dibs.WithStaleFor(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return values
		}
		fetch()
		memory.Advance(time.Minute)
		source.its = map[string]string{"a": "new", "b": "new"}
		if values := fetch(); values["a"] != "old" || values["b"] != "old" {
			t.Errorf("got %v", values)
		}
		synctest.Wait()
		if values := fetch(); values["a"] != "new" || values["b"] != "new" {
			t.Errorf("got %v", values)
		}
		source.wants(t, []string{"a", "b"}, []string{"a", "b"})
	})
}

func TestAKeyThatAnotherRebuildsIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		another := memory.Another()
		defer another.Close()
		go func() {
			_, _ = dibs.Fetch(t.Context(), another.Client, "b", func(context.Context) (string, error) {
				time.Sleep(time.Second)
				return "theirs", nil
			}, ttl)
		}()
		synctest.Wait()
		source := &rows{its: map[string]string{"a": "1", "b": "2"}}
		began := time.Now()
		values, err := dibs.FetchMany(t.Context(), memory.Client, []string{"a", "b"}, source.load, ttl, dibs.WithWait(100*time.Millisecond))
		var many *dibs.ManyError
		var busy *dibs.BusyError
		if !errors.As(err, &many) || len(many.Errors) != 1 || !errors.As(many.Errors["b"], &busy) || values["a"] != "1" || time.Since(began) != 100*time.Millisecond {
			t.Errorf("got %v, %v after %v", values, err, time.Since(began))
		}
		values, err = dibs.FetchMany(t.Context(), memory.Client, []string{"a", "b"}, source.load, ttl)
		if err != nil || values["a"] != "1" || values["b"] != "theirs" {
			t.Errorf("got %v, %v", values, err)
		}
		source.wants(t, []string{"a"})
	})
}

func TestAKeyWhoseLeaseIsLostIsRebuiltByItself(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		var mu sync.Mutex
		var asked [][]string
		values, err := dibs.FetchMany(t.Context(), memory.Client, []string{"a", "b"}, func(ctx context.Context, keys []string) (map[string]int, error) {
			mu.Lock()
			asked = append(asked, slices.Clone(keys))
			first := len(asked) == 1
			mu.Unlock()
			if !first {
				return map[string]int{"a": 2}, nil
			}
			_, _ = memory.Invalidate(t.Context(), dibs.Invalidation{Keys: []string{"a"}})
			<-dibs.ForKey(ctx, "a").Done()
			if ctx.Err() != nil {
				t.Error("the rebuild has another key")
			}
			time.Sleep(time.Second)
			return map[string]int{"a": 1, "b": 1}, nil
		}, ttl)
		if err != nil || !maps.Equal(values, map[string]int{"a": 2, "b": 1}) {
			t.Errorf("got %v, %v", values, err)
		}
		if fmt.Sprint(asked) != "[[a b] [a]]" {
			t.Errorf("rebuilt %v", asked)
		}
	})
}

func TestACallerOfManyThatLeavesGivesItsLeasesBack(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		ctx, cancel := context.WithCancelCause(t.Context())
		left := errors.New("left")
		go func() {
			synctest.Wait()
			cancel(left)
		}()
		ended := make(chan error, 1)
		_, err := dibs.FetchMany(ctx, memory.Client, []string{"a", "b"}, func(ctx context.Context, _ []string) (map[string]int, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}, ttl)
		if !errors.Is(err, left) {
			t.Errorf("got %v", err)
		}
		<-ended
		synctest.Wait()
		for _, key := range []string{"a", "b"} {
			if explained, err := memory.Explain(t.Context(), key); err != nil || explained.Lease != nil || explained.Failed != nil {
				t.Errorf("%s: %+v, %v", key, explained, err)
			}
		}
	})
}

func TestMoreKeysThanOneCallMayName(t *testing.T) {
	// However long the answers for so many keys take, no time passes.
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		its := map[string]string{}
		for at := range 2500 {
			its[fmt.Sprint(at)] = "v"
		}
		source := &rows{its: its}
		for range 2 {
			values, err := dibs.FetchMany(t.Context(), memory.Client, slices.Collect(maps.Keys(its)), source.load, ttl)
			if err != nil || !maps.Equal(values, its) {
				t.Errorf("%d values, %v", len(values), err)
			}
		}
		if len(source.asked) != 1 || len(source.asked[0]) != 2500 {
			t.Errorf("%d rebuilds", len(source.asked))
		}
	})
}
