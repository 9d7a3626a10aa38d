package dibs_test

import (
	"errors"
	"testing"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

func TestAValueThatCannotBeReadDoesNotHideTheFailureOfItsRebuild(t *testing.T) {
	fake, down := startFake(t), errors.New("down")
	fake.getOrLock.will(hit("no JSON"), leaseBeside("token", "no JSON"))
	its := client(t, fake.target, dibs.WithSession(false), ttl)
	_, err := dibs.Fetch(t.Context(), its, "k", failing(down), dibs.WithRevalidate(dibs.RevalidateAwaitElseStale))
	if !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}
