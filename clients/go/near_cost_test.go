package dibs

import (
	"context"
	"testing"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// What a near hit makes is the caller's own copy, and what the codec needs for it.
func TestANearHitMakesNothingButItsValue(t *testing.T) {
	client, err := New("127.0.0.1:1", WithNearCache(NearCache{MaxBytes: 1 << 20}), WithTTL(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	line := &heartbeat{}
	line.beat()
	client.near.opened(line)
	client.near.fill(valueID{"default", "k"}, &dibsv1.Hit{
		Freshness:  dibsv1.Freshness_FRESHNESS_FRESH,
		FreshForMs: 60_000,
		Tags:       &dibsv1.Tags{},
	}, result{value: []byte("v")}, time.Now())
	rebuild := func(context.Context) ([]byte, error) {
		t.Error("it is near")
		return nil, nil
	}
	allocations := allocationsOf(func() {
		line.beat()
		if value, err := Fetch(t.Context(), client, "k", rebuild); err != nil || string(value) != "v" {
			t.Errorf("got %q, %v", value, err)
		}
	})
	if allocations > 3 {
		t.Errorf("%v allocations", allocations)
	}
}
