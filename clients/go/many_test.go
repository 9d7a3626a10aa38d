package dibs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// manyStage is a client on a session that asks for many keys, in the background.
type manyStage struct {
	*dibs.Client
	t        *testing.T
	sessions <-chan *fakeSession
	session  *fakeSession
}

// onManyStage runs a test in fake time.
func onManyStage(t *testing.T, test func(*manyStage), options ...dibs.Option) {
	t.Helper()
	inSessions(t, func(t *testing.T, its *dibs.Client, sessions <-chan *fakeSession) {
		if err := its.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(&manyStage{Client: its, t: t, sessions: sessions, session: receive(t, "a session", sessions)})
	}, options...)
}

func (m *manyStage) fetch(keys ...string) <-chan fetched[map[string]string] {
	return m.fetchIn(m.t.Context(), keys...)
}

func (m *manyStage) fetchIn(ctx context.Context, keys ...string) <-chan fetched[map[string]string] {
	return behind(func() (map[string]string, error) {
		return dibs.FetchMany(ctx, m.Client, keys, rebuiltAs("rebuilt"))
	})
}

// rebuiltAs has the value for each key.
func rebuiltAs(value string) func(context.Context, []string) (map[string]string, error) {
	return func(_ context.Context, keys []string) (map[string]string, error) {
		values := map[string]string{}
		for _, key := range keys {
			values[key] = value
		}
		return values, nil
	}
}

// asked is the next call for many keys.
func (m *manyStage) asked(keys ...string) *dibsv1.SessionCall {
	m.t.Helper()
	call := m.session.call(m.t)
	if got := call.GetGetOrLockMany().GetKeys(); !slices.Equal(got, keys) {
		m.t.Fatalf("asked %v, and not for %v", call, keys)
	}
	return call
}

// reply answers for one key; more says whether that was the last.
func (m *manyStage) reply(call *dibsv1.SessionCall, key string, its asked, more bool) {
	response, _ := its(context.Background(), nil)
	m.session.reply(&dibsv1.SessionReply{Id: call.GetId(), More: more, Response: &dibsv1.SessionReply_GetOrLockMany{
		GetOrLockMany: &dibsv1.GetOrLockManyResponse{Key: key, Result: &dibsv1.GetOrLockManyResponse_Response{Response: response}},
	}})
}

func (m *manyStage) wants(done <-chan fetched[map[string]string], values map[string]string) {
	m.t.Helper()
	if got := receive(m.t, "the values", done); got.err != nil || !maps.Equal(got.value, values) {
		m.t.Errorf("got %v, %v", got.value, got.err)
	}
}

func TestManyKeysAreAskedForWithoutAWaitFirst(t *testing.T) {
	onManyStage(t, func(m *manyStage) {
		done := m.fetch("a", "b", "c")
		look := m.asked("a", "b", "c")
		if request := look.GetGetOrLockMany(); request.WaitMs == nil || request.GetWaitMs() != 0 || request.GetRequestId() == "" {
			t.Errorf("asked %v", request)
		}
		m.reply(look, "b", busy(dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED, 5), true)
		m.reply(look, "a", hit("1"), true)
		m.reply(look, "c", busy(dibsv1.BusyReason_BUSY_REASON_UNDECIDED, 5), false)
		// What is not decided is asked again at once; what another caller rebuilds is waited for.
		again := m.asked("c")
		m.reply(again, "c", hit("3"), false)
		wait := m.asked("b")
		if request := wait.GetGetOrLockMany(); request.WaitMs != nil || request.GetRequestId() != look.GetGetOrLockMany().GetRequestId() || wait.GetDeadlineMs() <= 30_000 {
			t.Errorf("asked %v", wait)
		}
		m.reply(wait, "b", hit("2"), false)
		m.wants(done, map[string]string{"a": "1", "b": "2", "c": "3"})
	})
}

func TestKeysThatASessionLeftOpenAreAskedForAgain(t *testing.T) {
	onManyStage(t, func(m *manyStage) {
		done := m.fetch("a", "b")
		look := m.asked("a", "b")
		m.reply(look, "a", hit("1"), true)
		m.session.over <- status.Error(codes.Unavailable, "the replica was killed")
		m.session = receive(m.t, "another session", m.sessions)
		again := m.asked("b")
		if again.GetGetOrLockMany().GetRequestId() != look.GetGetOrLockMany().GetRequestId() {
			t.Error("it was another call")
		}
		m.reply(again, "b", hit("2"), false)
		m.wants(done, map[string]string{"a": "1", "b": "2"})
	})
}

func TestAnErrorOfOneKeyIsNotThatOfTheOthers(t *testing.T) {
	onManyStage(t, func(m *manyStage) {
		done := m.fetch("a", "b", "c")
		look := m.asked("a", "b", "c")
		m.session.reply(&dibsv1.SessionReply{Id: look.GetId(), More: true, Response: &dibsv1.SessionReply_GetOrLockMany{
			GetOrLockMany: &dibsv1.GetOrLockManyResponse{Key: "a", Result: &dibsv1.GetOrLockManyResponse_Error{
				Error: &dibsv1.CallError{Code: int32(codes.PermissionDenied), Message: "no"},
			}},
		}})
		// Nor is an answer that comes twice, or for no key of the request, or not at all.
		m.reply(look, "b", hit("2"), true)
		m.reply(look, "b", hit("twice"), true)
		m.reply(look, "unasked", lease("token", 10_000), false)
		got := receive(m.t, "the end", done)
		var many *dibs.ManyError
		if !errors.As(got.err, &many) || status.Code(many.Errors["a"]) != codes.PermissionDenied || status.Code(many.Errors["c"]) != codes.Internal ||
			!maps.Equal(got.value, map[string]string{"b": "2"}) {
			t.Errorf("got %v, %v", got.value, got.err)
		}
	})
}

func TestLeasesThatComeAfterTheirCallerLeftAreGivenBack(t *testing.T) {
	onManyStage(t, func(m *manyStage) {
		ctx, leave := context.WithCancel(m.t.Context())
		done := m.fetchIn(ctx, "a", "b")
		look := m.asked("a", "b")
		leave()
		if got := receive(m.t, "the end", done); !errors.Is(got.err, context.Canceled) {
			t.Errorf("got %v", got.err)
		}
		message := receive(m.t, "a message", m.session.came)
		if ids := message.GetCancelledIds(); len(ids) != 1 || ids[0] != look.GetId() {
			t.Errorf("it heard %v", message)
		}
		given := map[string]string{}
		for _, key := range []string{"a", "b"} {
			m.reply(look, key, lease("of "+key, 10_000), key == "a")
			release := m.session.call(m.t)
			given[release.GetRelease().GetKey()] = release.GetRelease().GetToken()
			m.session.reply(&dibsv1.SessionReply{Id: release.GetId(), Response: &dibsv1.SessionReply_Release{Release: &dibsv1.ReleaseResponse{}}})
		}
		if !maps.Equal(given, map[string]string{"a": "of a", "b": "of b"}) {
			t.Errorf("given back: %v", given)
		}
	})
}

func TestHitsOfManyAreKeptNearUnlessTheyWereOvertaken(t *testing.T) {
	onManyStage(t, func(m *manyStage) {
		fresh := func(value string) asked {
			return ok[*dibsv1.GetOrLockRequest](&dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Hit{Hit: &dibsv1.Hit{
				Payload: &dibsv1.Hit_Value{Value: []byte(value)}, Freshness: dibsv1.Freshness_FRESHNESS_FRESH, FreshForMs: 60_000, Tags: &dibsv1.Tags{},
			}}})
		}
		done := m.fetch("a", "b")
		look := m.asked("a", "b")
		m.session.going <- &dibsv1.SessionResponse{Events: []*dibsv1.SessionEvent{invalidatedEvent(&dibsv1.Invalidated{Namespace: "default", Keys: []string{"b"}})}}
		m.reply(look, "a", fresh("1"), true)
		m.reply(look, "b", fresh("old"), false)
		m.wants(done, map[string]string{"a": "1", "b": "old"})
		done = m.fetch("a", "b")
		m.reply(m.asked("b"), "b", fresh("new"), false)
		m.wants(done, map[string]string{"a": "1", "b": "new"})
		m.wants(m.fetch("a", "b"), map[string]string{"a": "1", "b": "new"})
	}, dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
}

func TestWhereNoSessionCanBeHadManyKeysAreAskedForByAStream(t *testing.T) {
	fake := startFake(t)
	its := client(t, fake.target, dibs.WithCodec(raw{}), ttl)
	for range 2 {
		values, err := dibs.FetchMany(t.Context(), its, []string{"a", "b"}, rebuiltAs("unused"))
		if err != nil || !maps.Equal(values, map[string]string{"a": "of a", "b": "of b"}) {
			t.Errorf("got %v, %v", values, err)
		}
	}
}

func TestKeysOfSeveralSessionsAreAskedForOnEach(t *testing.T) {
	first, second := startFake(t), startFake(t)
	// Without sessions to tell of them, the answers say that they came by streams.
	its := client(t, first.target+","+second.target, dibs.WithCodec(raw{}), ttl)
	keys, wanted := []string{}, map[string]string{}
	for at := range 100 {
		keys = append(keys, fmt.Sprint(at))
		wanted[fmt.Sprint(at)] = "of " + fmt.Sprint(at)
	}
	values, err := dibs.FetchMany(t.Context(), its, keys, rebuiltAs("unused"))
	if err != nil || !maps.Equal(values, wanted) {
		t.Errorf("got %v, %v", values, err)
	}
}

func TestASetThatIsNotAnsweredIsTriedAgainAndThenAnError(t *testing.T) {
	for name, test := range map[string]struct {
		answers  []answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse]
		code     codes.Code
		attempts int
	}{
		"answered in the end": {[]answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse]{
			unpublished(codes.Unavailable, "gone"), published(dibsv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE),
		}, codes.OK, 2},
		"never answered": {[]answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse]{unpublished(codes.Unavailable, "gone")}, codes.Unavailable, 4},
		"too large":      {[]answer[*dibsv1.PublishRequest, *dibsv1.PublishResponse]{unpublished(codes.ResourceExhausted, "value: too large")}, codes.ResourceExhausted, 1},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.getOrLock.will(lease("token", 10_000))
			fake.publish.will(test.answers...)
			onFake(t, fake, func(t *testing.T, its *dibs.Client) {
				stored, err := dibs.Set(t.Context(), its, "k", "v", dibs.WithTags("t"), dibs.WithWait(time.Second))
				if status.Code(err) != test.code || stored.IsStored != (test.code == codes.OK) {
					t.Errorf("got %v, %v", stored, err)
				}
				if err := its.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}, dibs.WithCodec(raw{}))
			asked, sent := fake.getOrLock.heard()[0], fake.publish.heard()
			if asked.GetIntent() != dibsv1.Intent_INTENT_REFRESH || asked.GetWaitMs() != 1000 || len(sent) != test.attempts || string(sent[0].GetValue()) != "v" || sent[0].GetTags()[0] != "t" {
				t.Errorf("asked %v, sent %v", asked, sent)
			}
			if given := fake.release.heard(); (len(given) == 1) != (test.code != codes.OK) {
				t.Errorf("given back: %v", given)
			}
		})
	}
}

func TestAReadNeverHoldsALease(t *testing.T) {
	fake := newFake()
	fake.getOrLock.will(lease("token", 10_000))
	onFake(t, fake, func(t *testing.T, its *dibs.Client) {
		if _, found, err := dibs.Get[string](t.Context(), its, "k"); found || err != nil {
			t.Errorf("got %v, %v", found, err)
		}
	}, dibs.WithCodec(raw{}), dibs.WithWait(time.Hour))
	if asked := fake.getOrLock.heard()[0]; asked.GetIntent() != dibsv1.Intent_INTENT_READ || asked.WaitMs == nil || asked.GetWaitMs() != 0 {
		t.Errorf("asked %v", asked)
	}
	if given := fake.release.heard(); len(given) != 1 || given[0].GetToken() != "token" {
		t.Errorf("given back: %v", given)
	}
}
