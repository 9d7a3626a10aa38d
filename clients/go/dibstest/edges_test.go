package dibstest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibstest"
)

func TestAMarkDuringARebuildDoesNotUndoADeletion(t *testing.T) {
	deletes, marks := dibs.Invalidation{Tags: []string{"a"}}, dibs.Invalidation{Tags: []string{"a"}, MarkStale: true}
	marksAll, marksOther := dibs.Invalidation{All: true, MarkStale: true}, dibs.Invalidation{Tags: []string{"b"}, MarkStale: true}
	for at, test := range []struct {
		during []dibs.Invalidation
		want   string
	}{
		{[]dibs.Invalidation{marks}, "old"},
		{[]dibs.Invalidation{marksAll, marksOther}, "old"},
		{[]dibs.Invalidation{deletes}, "new"},
		{[]dibs.Invalidation{deletes, marks}, "new"},
		{[]dibs.Invalidation{marks, deletes}, "new"},
		{[]dibs.Invalidation{deletes, marksAll}, "new"},
		{[]dibs.Invalidation{deletes, marksOther}, "new"},
	} {
		bubble(t, func(t *testing.T, memory *dibstest.Memory) {
			fetch := func(value string) (string, error) {
				return dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) {
					for _, what := range test.during {
						if _, err := memory.Invalidate(t.Context(), what); value == "old" && err != nil {
							t.Error(err)
						}
					}
					return value, nil
				}, dibs.WithTTL(time.Minute), dibs.WithStaleFor(time.Hour), dibs.WithTags("b", "a"))
			}
			if value, err := fetch("old"); value != "old" || err != nil {
				t.Errorf("got %s, %v", value, err)
			}
			if value, err := fetch("new"); value != test.want || err != nil {
				t.Errorf("%d: got %s, %v", at, value, err)
			}
		})
	}
}

func TestACallerOfManyThatLeavesAtOnceHoldsNoLease(t *testing.T) {
	for range 50 {
		bubble(t, func(t *testing.T, memory *dibstest.Memory) {
			var keys []string
			for at := range 20 {
				keys = append(keys, fmt.Sprint(at))
			}
			ctx, leave := context.WithCancel(t.Context())
			go leave()
			_, _ = dibs.FetchMany(ctx, memory.Client, keys, func(ctx context.Context, _ []string) (map[string]string, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, dibs.WithTTL(time.Minute))
			synctest.Wait()
			for _, key := range keys {
				explained, err := memory.Explain(t.Context(), key)
				if err != nil || explained.Lease != nil {
					t.Fatalf("%s is held: %v, %v", key, explained, err)
				}
			}
		})
	}
}

// A value is published for 60 s and 10 s stale, and marked once or twice, 5 s apart.
func TestAMarkedValueIsServedForTheRestOfItsStaleTime(t *testing.T) {
	byKey, byTag, all := dibs.Invalidation{Keys: []string{"k"}}, dibs.Invalidation{Tags: []string{"a"}}, dibs.Invalidation{All: true}
	for name, test := range map[string]struct {
		what     dibs.Invalidation
		isDuring bool
	}{
		"by key":                     {byKey, false},
		"by tag":                     {byTag, false},
		"all":                        {all, false},
		"by tag, during its rebuild": {byTag, true},
		"all, during its rebuild":    {all, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, memory *dibstest.Memory) {
				options := []dibs.FetchOption{dibs.WithTTL(time.Minute), dibs.WithStaleFor(10 * time.Second), dibs.WithTags("a")}
				mark := func() {
					test.what.MarkStale = true
					if _, err := memory.Invalidate(t.Context(), test.what); err != nil {
						t.Error(err)
					}
					memory.Advance(5 * time.Second)
				}
				_, err := dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) {
					if test.isDuring {
						mark()
					}
					return "v", nil
				}, options...)
				if err != nil {
					t.Fatal(err)
				}
				if !test.isDuring {
					mark()
				}
				mark()
				if _, found, _ := dibs.Get[string](t.Context(), memory.Client, "k"); found {
					t.Error("it is served 10 s after its first mark")
				}
			})
		})
	}
}

func TestAMarkShortensNoOtherTime(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		_, err := dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) { return "v", nil },
			dibs.WithTTL(time.Minute), dibs.WithStaleFor(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		found := func(after time.Duration) bool {
			memory.Advance(after)
			_, found, _ := dibs.Get[string](t.Context(), memory.Client, "k")
			return found
		}
		if !found(65 * time.Second) {
			t.Error("it has expired too soon")
		}
		if _, err := memory.Invalidate(t.Context(), dibs.Invalidation{Keys: []string{"k"}, MarkStale: true}); err != nil {
			t.Fatal(err)
		}
		if !found(4 * time.Second) {
			t.Error("a mark of a stale value has shortened it")
		}
		if found(time.Second) {
			t.Error("a mark of a stale value has prolonged it")
		}
	})
}

func TestAnInvalidationEndsABackOff(t *testing.T) {
	for name, what := range map[string]dibs.Invalidation{"of the key": {Keys: []string{"k"}}, "of everything": {All: true}} {
		bubble(t, func(t *testing.T, memory *dibstest.Memory) {
			fetch := func(fails error) error {
				load := func(context.Context) (string, error) { return "v", fails }
				_, err := dibs.Fetch(t.Context(), memory.Client, "k", load, dibs.WithTTL(time.Minute))
				return err
			}
			var failed *dibs.RebuildFailedError
			if err := fetch(errors.New("down")); err == nil {
				t.Errorf("%s: it has not failed", name)
			}
			if err := fetch(nil); !errors.As(err, &failed) {
				t.Errorf("%s: got %v", name, err)
			}
			if _, err := memory.Invalidate(t.Context(), what); err != nil {
				t.Errorf("%s: got %v", name, err)
			}
			if err := fetch(nil); err != nil {
				t.Errorf("%s: got %v", name, err)
			}
		})
	}
}

func TestAFailureIsThatOfARefreshThatHasWaitedForIt(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		away := errors.New("away")
		done := make(chan error)
		go func() {
			_, err := dibs.Fetch(t.Context(), memory.Client, "k", func(context.Context) (string, error) {
				time.Sleep(time.Second)
				return "", away
			}, dibs.WithTTL(time.Minute))
			done <- err
		}()
		synctest.Wait()
		refresh := func() error {
			load := func(context.Context) (string, error) { return "new", nil }
			_, err := dibs.Fetch(t.Context(), memory.Client, "k", load, dibs.WithTTL(time.Minute), dibs.WithRefresh())
			return err
		}
		var failed *dibs.RebuildFailedError
		if err := refresh(); !errors.As(err, &failed) {
			t.Errorf("got %v", err)
		}
		if err := <-done; !errors.Is(err, away) {
			t.Errorf("got %v", err)
		}
		// One that comes after it does not wait for the back-off.
		if err := refresh(); err != nil {
			t.Errorf("got %v", err)
		}
	})
}
