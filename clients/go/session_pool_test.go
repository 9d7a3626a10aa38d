package dibs_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// answeringAs is a fake whose sessions answer each question with the name, each time that one is opened.
func answeringAs(t *testing.T, name string) (fake *fakeService, opened *atomic.Int64, sessions func() *fakeSession) {
	fake, opened = startFake(t), &atomic.Int64{}
	var last atomic.Pointer[fakeSession]
	came := sessionsOf(fake)
	go func() {
		for {
			select {
			case session := <-came:
				opened.Add(1)
				last.Store(session)
				go func() {
					for message := range session.came {
						for _, call := range message.GetCalls() {
							session.reply(hitReply(call.GetId(), name))
						}
					}
				}()
			case <-t.Context().Done():
				return
			}
		}
	}()
	return fake, opened, last.Load
}

// answers counts who answers for 40 keys.
func answers(t *testing.T, its *dibs.Client) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for at := range 40 {
		key := fmt.Sprintf("key %d", at)
		var first string
		for range 2 {
			value, err := dibs.Fetch(t.Context(), its, key, returning("rebuilt"), ttl)
			if err != nil {
				t.Fatal(err)
			}
			if first != "" && value != first {
				t.Logf("%s: %s and %s", key, first, value)
			}
			first = value
		}
		counts[first]++
	}
	return counts
}

func TestTheCallsOfAProcessAreSharedByAllAddresses(t *testing.T) {
	one, openedByOne, sessionOfOne := answeringAs(t, "one")
	two, openedByTwo, _ := answeringAs(t, "two")
	its := client(t, one.target+","+two.target, dibs.WithCodec(raw{}))
	var counts map[string]int
	eventually(t, "both answer", func() bool {
		counts = answers(t, its)
		return counts["one"] >= 10 && counts["two"] >= 10
	})
	counts = answers(t, its)
	if again := answers(t, its); fmt.Sprint(again) != fmt.Sprint(counts) {
		t.Errorf("keys have moved: %v, then %v", counts, again)
	}
	before := openedByOne.Load() + openedByTwo.Load()
	sessionOfOne().over <- status.Error(codes.Unavailable, "gone")
	eventually(t, "it is opened again", func() bool {
		counts = answers(t, its)
		return openedByOne.Load()+openedByTwo.Load() > before && counts["one"] >= 10 && counts["two"] >= 10
	})
}

func TestWhereOneAddressIsDownTheOtherHasAllCalls(t *testing.T) {
	one, _, _ := answeringAs(t, "one")
	its := client(t, nowhere(t)+","+one.target, dibs.WithCodec(raw{}))
	if err := its.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if counts := answers(t, its); counts["one"] != 40 {
		t.Errorf("got %v", counts)
	}
}

func TestOneSessionForEachReplicaIsEnough(t *testing.T) {
	one, opened, _ := answeringAs(t, "one")
	// Two names for one replica.
	port := one.target[len("127.0.0.1:"):]
	its := client(t, one.target+",localhost:"+port, dibs.WithCodec(raw{}), dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
	_ = answers(t, its)
	eventually(t, "it has looked for another", func() bool { return opened.Load() >= 8 })
	time.Sleep(100 * time.Millisecond)
	looked := opened.Load()
	time.Sleep(300 * time.Millisecond)
	if opened.Load() != looked || looked > 12 {
		t.Errorf("it goes on looking: %d, then %d", looked, opened.Load())
	}
	if counts := answers(t, its); counts["one"] != 40 {
		t.Errorf("got %v", counts)
	}
}

func TestAUnixSocketIsAddressed(t *testing.T) {
	path := t.TempDir() + "/dibs.sock"
	service := startService(t, "DIBS_LISTEN=127.0.0.1:0,unix://"+path)
	_ = service
	for _, session := range []bool{true, false} {
		its := client(t, "unix://"+path, dibs.WithSession(session), dibs.WithToken("secret"))
		if err := its.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		key := freshKey()
		value, err := dibs.Fetch(t.Context(), its, key, func(ctx context.Context) (string, error) {
			return dibs.LeaseFrom(ctx).Reason, nil
		}, ttl)
		want(t, value, err, "miss")
		explained, err := its.Stub().Explain(t.Context(), &dibsv1.ExplainRequest{Key: key})
		if err != nil || explained.GetValue() == nil {
			t.Errorf("%v, %v", explained, err)
		}
	}
}
