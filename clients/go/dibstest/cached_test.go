package dibstest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibstest"
)

type user struct{ Name string }

func TestCached(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		users := dibs.NewCached[user](memory.Client, "user:", ttl, dibs.WithNamespace("shop"), dibs.WithTags("users"), dibs.WithWait(time.Second))
		load := func(_ context.Context, id string) (user, error) { return user{"number " + id}, nil }
		get := func(id string) string {
			its, found, err := users.Get(t.Context(), id)
			return fmt.Sprintf("%s %v %v", its.Name, found, err)
		}
		if ada, err := users.Fetch(t.Context(), "42", load); err != nil || ada.Name != "number 42" {
			t.Errorf("got %v, %v", ada, err)
		}
		if got := get("42"); got != "number 42 true <nil>" {
			t.Errorf("got %s", got)
		}
		explained, err := users.Explain(t.Context(), "42")
		if err != nil || explained.Value == nil || explained.Value.FreshFor != time.Minute || fmt.Sprint(explained.Value.Tags) != "[users]" {
			t.Errorf("got %v, %v", explained, err)
		}
		if stored, err := users.Set(t.Context(), "42", user{"Ada"}, dibs.WithTTL(time.Hour)); err != nil || !stored.IsStored {
			t.Errorf("got %v, %v", stored, err)
		}
		explained, err = memory.Explain(t.Context(), users.Key("42"), dibs.WithNamespace("shop"))
		if err != nil || explained.Value == nil || explained.Value.FreshFor != time.Hour {
			t.Errorf("the option of a call counts more: %v, %v", explained, err)
		}
		if _, err := users.SetAbsent(t.Context(), "43"); err != nil || !strings.Contains(get("43"), dibs.ErrAbsent.Error()) {
			t.Errorf("got %v, %s", err, get("43"))
		}
		if done, err := users.Invalidate(t.Context(), "42", "43", "44"); err != nil || done.Keys != 2 {
			t.Errorf("got %v, %v", done, err)
		}
		if got := get("42"); got != " false <nil>" {
			t.Errorf("got %s", got)
		}
	})
}

func TestManyCached(t *testing.T) {
	bubble(t, func(t *testing.T, memory *dibstest.Memory) {
		upper := dibs.NewCachedFunc[string](memory.Client, strings.ToUpper, ttl)
		_, _ = upper.Set(t.Context(), "c", "known")
		values, err := upper.FetchMany(t.Context(), []string{"a", "b", "c"}, func(ctx context.Context, ids []string) (map[string]string, error) {
			if fmt.Sprint(ids) != "[a b]" || dibs.LeaseFrom(upper.ForID(ctx, "a")).Reason != "miss" {
				t.Errorf("asked for %v", ids)
			}
			return map[string]string{"a": "1"}, nil
		})
		if err != nil || !maps.Equal(values, map[string]string{"a": "1", "c": "known"}) {
			t.Errorf("got %v, %v", values, err)
		}
		down := errors.New("down")
		values, err = upper.FetchMany(t.Context(), []string{"a", "d"}, func(context.Context, []string) (map[string]string, error) {
			return nil, down
		})
		var many *dibs.ManyError
		if !errors.As(err, &many) || !errors.Is(many.Errors["d"], down) || !maps.Equal(values, map[string]string{"a": "1"}) {
			t.Errorf("got %v, %v", values, err)
		}
		if values, err := upper.FetchMany(t.Context(), []string{""}, nil); values != nil || err == nil {
			t.Errorf("got %v, %v", values, err)
		}
	})
}
