package dibs_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

func TestClose(t *testing.T) {
	t.Run("ends what is under way and gives its leases back", func(t *testing.T) {
		fake := startFake(t)
		fake.getOrLock.will(lease("token", 10_000))
		its := client(t, fake.target, dibs.WithSession(false))
		begun := make(chan struct{})
		call := behind(func() (string, error) {
			return dibs.Fetch(t.Context(), its, "k", func(ctx context.Context) (string, error) {
				close(begun)
				<-ctx.Done()
				return "", ctx.Err()
			}, ttl)
		})
		receive(t, "a rebuild", begun)
		_ = its.Close()
		if got := receive(t, "the end", call); status.Code(got.err) != codes.Canceled {
			t.Errorf("got %v", got.err)
		}
		eventually(t, "a release", func() bool { return len(fake.release.heard()) == 1 })
	})
	t.Run("is no failure of the rebuilds that it ends", func(t *testing.T) {
		fake := startFake(t)
		fake.getOrLock.will(lease("token", 10_000))
		its := client(t, fake.target, dibs.WithSession(false))
		const many = 100
		begun, gate := make(chan struct{}, many), make(chan struct{})
		defer close(gate)
		for range many {
			go func() {
				_, _ = dibs.Fetch(context.Background(), its, freshKey(), func(context.Context) (string, error) {
					begun <- struct{}{}
					<-gate
					return "", nil
				}, ttl)
			}()
		}
		for range many {
			receive(t, "a rebuild", begun)
		}
		_ = its.Close()
		eventually(t, "the releases", func() bool { return len(fake.release.heard()) == many })
		for _, released := range fake.release.heard() {
			if released.GetFailure() != nil {
				t.Fatalf("released with %v", released.GetFailure())
			}
		}
	})
	t.Run("takes no more calls, and counts once", func(t *testing.T) {
		its := client(t, nowhere(t))
		_, _ = its.Close(), its.Close()
		_, err := dibs.Fetch(t.Context(), its, "k", returning("v"), ttl)
		if status.Code(err) != codes.Canceled {
			t.Errorf("got %v", err)
		}
		if _, err := its.Invalidate(t.Context(), dibs.Invalidation{All: true}); status.Code(err) != codes.Canceled {
			t.Errorf("got %v", err)
		}
	})
}
