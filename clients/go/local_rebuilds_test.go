package dibs

import (
	"context"
	"testing"
	"time"
)

func TestALocalRebuildThatOutlastsTheAbsenceIsNeitherJoinedNorKept(t *testing.T) {
	its, id := newLocalRebuilds(newLifetime()), valueID{"default", "k"}
	end := make(chan struct{})
	old := make(chan result, 1)
	began := make(chan struct{})
	go func() {
		old <- its.join(t.Context(), id, time.Now().Add(time.Minute), func(context.Context) (result, time.Duration) {
			close(began)
			<-end
			return result{value: []byte("old")}, time.Minute
		})
	}()
	<-began
	its.forget()
	now := func(context.Context) (result, time.Duration) { return result{value: []byte("new")}, time.Minute }
	if got := its.join(t.Context(), id, time.Now().Add(time.Minute), now); string(got.value) != "new" {
		t.Errorf("joined %q", got.value)
	}
	close(end)
	if got := <-old; string(got.value) != "old" {
		t.Errorf("got %q", got.value)
	}
	if kept, _ := its.recent(id); string(kept.value) != "new" {
		t.Errorf("kept %q", kept.value)
	}
}
