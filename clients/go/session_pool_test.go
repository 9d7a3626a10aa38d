package dibs_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
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

// whoAnswers is who answers for each of 40 keys.
func whoAnswers(t *testing.T, its *dibs.Client) map[string]string {
	t.Helper()
	who := map[string]string{}
	for at := range 40 {
		key := fmt.Sprintf("key %d", at)
		value, err := dibs.Fetch(t.Context(), its, key, returning("rebuilt"), ttl)
		if err != nil {
			t.Fatal(err)
		}
		who[key] = value
	}
	return who
}

// answers counts them.
func answers(t *testing.T, its *dibs.Client) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, name := range whoAnswers(t, its) {
		counts[name]++
	}
	return counts
}

// allAnswer waits until the calls are shared by all of them. Their shares never change, and are not equal: each client
// has its own, at random.
func allAnswer(t *testing.T, its *dibs.Client, names ...string) {
	t.Helper()
	eventually(t, "all answer", func() bool {
		counts := answers(t, its)
		return !slices.ContainsFunc(names, func(name string) bool { return counts[name] == 0 })
	})
}

func TestTheCallsOfAProcessAreSharedByAllAddresses(t *testing.T) {
	one, two := answeringAs(t, "one"), answeringAs(t, "two")
	its := client(t, one.target+","+two.target, dibs.WithCodec(raw{}))
	allAnswer(t, its, "one", "two")
	before := whoAnswers(t, its)
	if after := whoAnswers(t, its); !maps.Equal(before, after) {
		t.Errorf("keys have moved: %v, then %v", before, after)
	}
	// One of the two has the first session, to which no call goes while another one is there: it must not wait for one.
	for _, replica := range []*replica{one, two} {
		opened := replica.opened.Load()
		replica.breaks()
		eventually(t, "it is opened again", func() bool { return replica.opened.Load() > opened })
	}
	eventually(t, "all keys are back", func() bool { return maps.Equal(before, whoAnswers(t, its)) })
}

func TestAReplicaThatGoesMovesNoKeysOfTheOthers(t *testing.T) {
	replicas := map[string]*replica{"one": answeringAs(t, "one"), "two": answeringAs(t, "two"), "three": answeringAs(t, "three")}
	its := client(t, replicas["one"].target+","+replicas["two"].target+","+replicas["three"].target, dibs.WithCodec(raw{}))
	allAnswer(t, its, "one", "two", "three")
	before := whoAnswers(t, its)
	replicas["two"].server.Stop()
	eventually(t, "it is left", func() bool { return answers(t, its)["two"] == 0 })
	eventually(t, "only its keys have moved", func() bool {
		after := whoAnswers(t, its)
		for key, name := range before {
			if name != "two" && after[key] != name {
				return false
			}
		}
		return true
	})
}

// shares are those of two clients of the target.
func shares(t *testing.T, target string, options ...dibs.Option) (map[string]string, map[string]string) {
	t.Helper()
	of := func() map[string]string {
		its := client(t, target, append(options, dibs.WithCodec(raw{}))...)
		eventually(t, "both answer", func() bool { return len(answers(t, its)) == 2 })
		return whoAnswers(t, its)
	}
	return of(), of()
}

func TestWithKeyAffinityAKeyHasTheSameReplicaInEveryProcess(t *testing.T) {
	one, two := answeringAs(t, "one"), answeringAs(t, "two")
	target := one.target + "," + two.target
	if these, those := shares(t, target, dibs.WithKeyAffinity()); !maps.Equal(these, those) {
		t.Errorf("with it, %v and %v", these, those)
	}
	if these, those := shares(t, target); maps.Equal(these, those) {
		t.Errorf("without it, both have %v", these)
	}
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
	allAnswer(t, its, "one", "two")
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
