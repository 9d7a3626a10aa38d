package dibstest_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibstest"
)

// source counts how often it is asked.
type source struct {
	asked int
	value string
	err   error
}

func (s *source) load(context.Context) (string, error) {
	s.asked++
	return s.value, s.err
}

// bubble runs a test whose time passes only when all wait.
func bubble(t *testing.T, test func(*testing.T, *dibstest.Memory)) {
	synctest.Test(t, func(t *testing.T) {
		memory := dibstest.New()
		defer memory.Close()
		test(t, memory)
	})
}

func want(t *testing.T, value string, err error, expected string) {
	t.Helper()
	if err != nil || value != expected {
		t.Fatalf("got %q and %v, want %q", value, err, expected)
	}
}

func TestAValueLivesAsLongAsItsTTL(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		source := &source{value: "v"}
		read := func() {
			value, err := dibs.Fetch(t.Context(), memory.Client, "k", source.load, dibs.WithTTL(time.Minute))
			want(t, value, err, "v")
		}
		read()
		memory.Advance(time.Minute - time.Millisecond)
		read()
		if source.asked != 1 {
			t.Errorf("asked %d times while it was fresh", source.asked)
		}
		memory.Advance(time.Millisecond)
		read()
		if source.asked != 2 {
			t.Errorf("asked %d times", source.asked)
		}
	})
}

func TestNothingIsAValueOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		source := &source{err: dibs.ErrAbsent}
		for range 2 {
			_, err := dibs.Fetch(t.Context(), memory.Client, "k", source.load, dibs.WithTTL(time.Hour), dibs.WithAbsentTTL(time.Minute))
			if !errors.Is(err, dibs.ErrAbsent) {
				t.Fatalf("got %v", err)
			}
		}
		if source.asked != 1 {
			t.Errorf("asked %d times", source.asked)
		}
		memory.Advance(time.Minute)
		source.value, source.err = "v", nil
		value, err := dibs.Fetch(t.Context(), memory.Client, "k", source.load, dibs.WithTTL(time.Hour))
		want(t, value, err, "v")
	})
}

func TestAStaleValueIsServedAndRebuiltBehind(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		source := &source{value: "old"}
		read := func(options ...dibs.FetchOption) (string, error) {
			options = append(options, dibs.WithTTL(time.Minute), dibs.WithStaleFor(time.Hour))
			return dibs.Fetch(t.Context(), memory.Client, "k", source.load, options...)
		}
		_, _ = read()
		memory.Advance(time.Minute)
		source.value = "new"
		value, err := read()
		want(t, value, err, "old")
		synctest.Wait()
		value, err = read()
		want(t, value, err, "new")
		memory.Advance(time.Minute)
		source.value = "newest"
		value, err = read(dibs.WithStale(dibs.StaleForbid))
		want(t, value, err, "newest")
	})
}

func TestCallersOfSeveralProcessesShareOneRebuild(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		another := memory.Another()
		defer another.Close()
		var rebuilds atomic.Int64
		slow := func(context.Context) (string, error) {
			rebuilds.Add(1)
			time.Sleep(25 * time.Second)
			return "v", nil
		}
		done := make(chan string, 6)
		for range 3 {
			for _, client := range []*dibs.Client{memory.Client, another.Client} {
				go func() {
					value, _ := dibs.Fetch(t.Context(), client, "k", slow, dibs.WithTTL(time.Minute))
					done <- value
				}()
			}
		}
		for range 6 {
			if value := <-done; value != "v" {
				t.Errorf("got %q", value)
			}
		}
		if rebuilds.Load() != 1 {
			t.Errorf("%d rebuilds", rebuilds.Load())
		}
	})
}

func TestAWaitEnds(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		another := memory.Another()
		defer another.Close()
		go func() {
			_, _ = dibs.Fetch(t.Context(), memory.Client, "k", func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}, dibs.WithTTL(time.Minute))
		}()
		synctest.Wait()
		start := time.Now()
		_, err := dibs.Fetch(t.Context(), another.Client, "k", (&source{}).load, dibs.WithTTL(time.Minute), dibs.WithWait(time.Second))
		var busy *dibs.BusyError
		if !errors.As(err, &busy) || busy.Reason != dibs.BusyWaitEnded || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestAFailureIsEverybodysUntilItsBackOffIsOver(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		down := errors.New("down")
		source := &source{err: dibs.BackOff(down, 5*time.Second)}
		read := func() (string, error) {
			return dibs.Fetch(t.Context(), memory.Client, "k", source.load, dibs.WithTTL(time.Minute))
		}
		if _, err := read(); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
		var failed *dibs.RebuildFailedError
		if _, err := read(); !errors.As(err, &failed) || failed.Message != "down" || failed.RetryAfter() != 5*time.Second {
			t.Errorf("got %v", err)
		}
		memory.Advance(5 * time.Second)
		source.value, source.err = "v", nil
		value, err := read()
		want(t, value, err, "v")
	})
}

func TestInvalidate(t *testing.T) {
	tests := map[string]struct {
		what  dibs.Invalidation
		gone  []string
		stale []string
	}{
		"keys":                  {what: dibs.Invalidation{Keys: []string{"one"}}, gone: []string{"one"}},
		"tags":                  {what: dibs.Invalidation{Tags: []string{"x"}}, gone: []string{"one"}},
		"all":                   {what: dibs.Invalidation{All: true}, gone: []string{"one", "two"}},
		"another namespace":     {what: dibs.Invalidation{All: true, Namespace: "elsewhere"}},
		"keys, marked as stale": {what: dibs.Invalidation{Keys: []string{"one"}, MarkStale: true}, stale: []string{"one"}},
		"all, marked as stale":  {what: dibs.Invalidation{All: true, MarkStale: true}, stale: []string{"one", "two"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, memory *dibstest.Memory) {
				read := func(key, tag, value string) string {
					got, err := dibs.Fetch(t.Context(), memory.Client, key, (&source{value: value}).load,
						dibs.WithTTL(time.Minute), dibs.WithStaleFor(time.Hour), dibs.WithTags(tag))
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
				read("one", "x", "old")
				read("two", "y", "old")
				if _, err := memory.Invalidate(t.Context(), test.what); err != nil {
					t.Fatal(err)
				}
				for key, tag := range map[string]string{"one": "x", "two": "y"} {
					first := read(key, tag, "new")
					synctest.Wait()
					second := read(key, tag, "newest")
					wanted := [2]string{"old", "old"}
					if slices.Contains(test.gone, key) {
						wanted = [2]string{"new", "new"}
					} else if slices.Contains(test.stale, key) {
						wanted = [2]string{"old", "new"}
					}
					if wanted != [2]string{first, second} {
						t.Errorf("%s: got %s and then %s, want %v", key, first, second, wanted)
					}
				}
			})
		})
	}
}

func TestAnInvalidationDuringARebuildVoidsIt(t *testing.T) {
	for name, what := range map[string]dibs.Invalidation{"by key": {Keys: []string{"k"}}, "by tag": {Tags: []string{"x"}}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, memory *dibstest.Memory) {
				options := []dibs.FetchOption{dibs.WithTTL(time.Minute), dibs.WithTags("x")}
				value, err := dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) {
					_, err := memory.Invalidate(t.Context(), what)
					return "old", err
				}, options...)
				want(t, value, err, "old")
				value, err = dibs.Fetch(t.Context(), memory.Client, "k", (&source{value: "new"}).load, options...)
				want(t, value, err, "new")
			})
		})
	}
}

func TestALeaseThatIsLostEndsItsRebuild(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		rebuilds := 0
		value, err := dibs.Fetch(t.Context(), memory.Client, "k", func(ctx context.Context) (string, error) {
			rebuilds++
			if rebuilds == 2 {
				return dibs.LeaseFrom(ctx).Reason, nil
			}
			_, _ = memory.Invalidate(t.Context(), dibs.Invalidation{Keys: []string{"k"}})
			<-ctx.Done()
			return "", context.Cause(ctx)
		}, dibs.WithTTL(time.Minute))
		want(t, value, err, "invalidated")
	})
}

func TestARefreshRebuildsWhatIsFresh(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		source := &source{value: "old"}
		_, _ = dibs.Fetch(t.Context(), memory.Client, "k", source.load, dibs.WithTTL(time.Minute))
		source.value = "new"
		value, err := dibs.Fetch(t.Context(), memory.Client, "k", func(ctx context.Context) (string, error) {
			var before string
			if err := dibs.LeaseFrom(ctx).Previous(&before); err != nil || before != "old" {
				t.Errorf("before: %q, %v", before, err)
			}
			return source.load(ctx)
		}, dibs.WithTTL(time.Minute), dibs.WithRefresh())
		want(t, value, err, "new")
	})
}

func TestBadInputIsRefusedByName(t *testing.T) {
	memory := dibstest.New()
	defer memory.Close()
	for _, input := range []struct {
		key string
		ttl time.Duration
	}{{"", time.Minute}, {"zero", 0}, {"negative", -time.Second}} {
		_, err := dibs.Fetch(t.Context(), memory.Client, input.key, (&source{}).load, dibs.WithTTL(input.ttl))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", input, err)
		}
	}
	if _, err := memory.Invalidate(t.Context(), dibs.Invalidation{All: true, Tags: []string{"x"}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if _, err := memory.Invalidate(t.Context(), dibs.Invalidation{}); err != nil {
		t.Errorf("nothing to invalidate is nothing to do: %v", err)
	}
}

func TestCodecs(t *testing.T) {
	type user struct{ Name string }
	memory := dibstest.New()
	defer memory.Close()
	ttl := dibs.WithTTL(time.Minute)
	for range 2 {
		ada, err := dibs.Fetch(t.Context(), memory.Client, "json", func(context.Context) (user, error) { return user{"Ada"}, nil }, ttl)
		if err != nil || ada.Name != "Ada" {
			t.Errorf("got %v, %v", ada, err)
		}
	}
	bytes := func() ([]byte, error) {
		return dibs.Fetch(t.Context(), memory.Client, "bytes", func(context.Context) ([]byte, error) { return []byte{}, nil }, ttl)
	}
	for range 2 {
		if empty, err := bytes(); err != nil || empty == nil || len(empty) != 0 {
			t.Errorf("got %v, %v", empty, err)
		}
	}
	read, err := dibs.Fetch(t.Context(), memory.Client, "bytes", func(context.Context) (user, error) { return user{"Ada"}, nil }, ttl)
	if err != nil || read.Name != "Ada" {
		t.Errorf("what is no user is a miss: %v, %v", read, err)
	}
	unencodable := func(context.Context) (chan int, error) { return nil, nil }
	_, err = dibs.Fetch(t.Context(), memory.Client, "channel", unencodable, ttl)
	var unsupported *json.UnsupportedTypeError
	if !errors.As(err, &unsupported) {
		t.Errorf("got %v", err)
	}
}

func TestHooks(t *testing.T) {
	var heard []string
	memory := dibstest.New(dibs.WithNamespace("n"), dibs.WithHooks(dibs.Hooks{
		Hit: func(e dibs.HitEvent) { heard = append(heard, e.Namespace+" "+e.Key+" "+e.Freshness) },
		Publish: func(e dibs.PublishEvent) {
			heard = append(heard, e.Namespace+" "+e.Key+" "+e.Outcome)
			panic("a counter that fails")
		},
	}))
	defer memory.Close()
	for range 2 {
		value, err := dibs.Fetch(t.Context(), memory.Client, "k", (&source{value: "v"}).load, dibs.WithTTL(time.Minute))
		want(t, value, err, "v")
	}
	if !slices.Equal(heard, []string{"n k stored", "n k fresh"}) {
		t.Errorf("heard %q", heard)
	}
}
