package dibs_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// replica is a fake whose sessions answer each question with the name.
type replica struct {
	*fakeService
	// opened is how many sessions it has had.
	opened atomic.Int64
	// open has the sessions that have not ended.
	open sync.Map
}

// answeringAs is a replica that has the name.
func answeringAs(t *testing.T, name string) *replica {
	its := &replica{fakeService: startFake(t)}
	came := sessionsOf(its.fakeService)
	go func() {
		for {
			select {
			case session := <-came:
				its.open.Store(session, nil)
				its.opened.Add(1)
				go func() {
					defer its.open.Delete(session)
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
	return its
}

// breaks ends all its sessions. Which of them the client uses, and which one found the replica taken, is not known here.
func (r *replica) breaks() {
	r.open.Range(func(session, _ any) bool {
		session.(*fakeSession).over <- status.Error(codes.Unavailable, "gone")
		return true
	})
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

// bothAnswer waits until the calls are shared by the two.
func bothAnswer(t *testing.T, its *dibs.Client) {
	t.Helper()
	eventually(t, "both answer", func() bool {
		counts := answers(t, its)
		return counts["one"] >= 10 && counts["two"] >= 10
	})
}

func TestTheCallsOfAProcessAreSharedByAllAddresses(t *testing.T) {
	one, two := answeringAs(t, "one"), answeringAs(t, "two")
	its := client(t, one.target+","+two.target, dibs.WithCodec(raw{}))
	bothAnswer(t, its)
	counts := answers(t, its)
	if again := answers(t, its); fmt.Sprint(again) != fmt.Sprint(counts) {
		t.Errorf("keys have moved: %v, then %v", counts, again)
	}
	before := one.opened.Load() + two.opened.Load()
	one.breaks()
	// The first session is opened again by a call.
	eventually(t, "it is opened again", func() bool {
		_ = answers(t, its)
		return one.opened.Load()+two.opened.Load() > before
	})
	bothAnswer(t, its)
}

func TestAnAddressThatConnectsLateHasItsShareSoon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	one, two := answeringAs(t, "one"), answeringAs(t, "two")
	// The connection stands, but its peer says nothing yet.
	its := client(t, one.target+","+listener.Addr().String(), dibs.WithCodec(raw{}))
	_ = answers(t, its)
	eventually(t, "the second session has met the first replica", func() bool { return one.opened.Load() >= 4 })
	go func() { _ = two.server.Serve(listener) }()
	t.Cleanup(func() { _ = listener.Close() })
	began := time.Now()
	bothAnswer(t, its)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("its share came after %v", took)
	}
}

func TestWhereOneAddressIsDownTheOtherHasAllCalls(t *testing.T) {
	one := answeringAs(t, "one")
	its := client(t, nowhere(t)+","+one.target, dibs.WithCodec(raw{}))
	if err := its.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if counts := answers(t, its); counts["one"] != 40 {
		t.Errorf("got %v", counts)
	}
}

func TestOneSessionForEachReplicaIsEnough(t *testing.T) {
	one := answeringAs(t, "one")
	// Two names for one replica.
	port := one.target[len("127.0.0.1:"):]
	its := client(t, one.target+",localhost:"+port, dibs.WithCodec(raw{}), dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
	_ = answers(t, its)
	eventually(t, "it has looked for another", func() bool { return one.opened.Load() >= 6 })
	began, looked := time.Now(), one.opened.Load()
	time.Sleep(time.Second)
	// It looks less and less often: the pauses have been 10, 20, 40, 80 ms. Without that it would look some 1,000 times.
	if more := one.opened.Load() - looked; more > 6 {
		t.Errorf("it goes on looking: %d times more within %v", more, time.Since(began))
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
