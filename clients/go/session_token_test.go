package dibs_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestASessionWhoseTokenIsOverGoesOnWithTheNextOne(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	call := inSession(t, client(t, fake.target, dibs.WithCodec(raw{})), "k")
	first := receive(t, "a session", sessions)
	first.call(t)
	first.over <- status.Error(codes.Unauthenticated, "the token is known no more")
	second := receive(t, "another session", sessions)
	second.reply(hitReply(second.call(t).GetId(), "v"))
	got := receive(t, "the value", call)
	want(t, got.value, got.err, "v")
}

func TestACallThatIsRefusedForTheTokenOfItsSessionGoesWithTheOneOfNow(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	fake.getOrLock.will(func(ctx context.Context, in *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
		if sent := identity(ctx).Get("authorization"); len(sent) != 1 || sent[0] != "Bearer next" {
			t.Errorf("sent %v", sent)
		}
		return hit("v")(ctx, in)
	})
	var token atomic.Value
	token.Store("first")
	now := func(context.Context) (string, error) { return token.Load().(string), nil }
	its := client(t, fake.target, dibs.WithCodec(raw{}), dibs.WithTokenFunc(now))
	call, open := inSession(t, its, "k"), inSession(t, its, "open")
	first := receive(t, "a session", sessions)
	ids := map[string]int64{}
	for len(ids) < 2 {
		for _, each := range receive(t, "a message", first.came).GetCalls() {
			ids[each.GetGetOrLock().GetKey()] = each.GetId()
		}
	}
	token.Store("next")
	refusal := &dibsv1.CallError{Code: int32(codes.Unauthenticated), Message: "the token is known no more"}
	first.reply(&dibsv1.SessionReply{Id: ids["k"], Response: &dibsv1.SessionReply_Error{Error: refusal}})
	got := receive(t, "the value", call)
	want(t, got.value, got.err, "v")
	// New calls go over a new session at once, and those that are open still end on the old one.
	call = inSession(t, its, "other")
	second := receive(t, "another session", sessions)
	second.reply(hitReply(second.call(t).GetId(), "w"))
	got = receive(t, "the other value", call)
	want(t, got.value, got.err, "w")
	first.reply(hitReply(ids["open"], "x"))
	got = receive(t, "the open one's value", open)
	want(t, got.value, got.err, "x")
}

// Its leases would end with the time of the broken session.
func TestALateRefusalOfAnEarlierSessionLeavesTheLaterOneItsLeases(t *testing.T) {
	fake := startFake(t)
	fake.getOrLock.will(hit("v"))
	sessions := sessionsOf(fake)
	its := client(t, fake.target, dibs.WithCodec(raw{}))
	one, late := inSession(t, its, "one"), inSession(t, its, "late")
	first := receive(t, "a session", sessions)
	ids := map[string]int64{}
	for len(ids) < 2 {
		for _, each := range receive(t, "a message", first.came).GetCalls() {
			ids[each.GetGetOrLock().GetKey()] = each.GetId()
		}
	}
	refuse := func(key string, call <-chan fetched[string]) {
		refusal := &dibsv1.CallError{Code: int32(codes.Unauthenticated), Message: "the token is known no more"}
		first.reply(&dibsv1.SessionReply{Id: ids[key], Response: &dibsv1.SessionReply_Error{Error: refusal}})
		got := receive(t, "the value", call)
		want(t, got.value, got.err, "v")
	}
	refuse("one", one)
	open := inSession(t, its, "open")
	second := receive(t, "another session", sessions)
	second.call(t)
	refuse("late", late)
	second.over <- status.Error(codes.Unavailable, "gone")
	third := receive(t, "a third session", sessions)
	if third.hello.GetResumeToken() != "resume" {
		t.Errorf("it resumes %q", third.hello.GetResumeToken())
	}
	third.reply(hitReply(third.call(t).GetId(), "w"))
	got := receive(t, "the open one's value", open)
	want(t, got.value, got.err, "w")
}

// Otherwise an answered key could get a lease that no caller waits for.
func TestACallForManyKeysThatIsRefusedHalfwayIsRepeatedForTheOthers(t *testing.T) {
	fake := startFake(t)
	sessions := sessionsOf(fake)
	its := client(t, fake.target, dibs.WithCodec(raw{}), ttl)
	call := behind(func() (map[string]string, error) {
		return dibs.FetchMany(t.Context(), its, []string{"a", "b"}, func(context.Context, []string) (map[string]string, error) {
			return nil, errors.New("there is no lease")
		})
	})
	first := receive(t, "a session", sessions)
	id := first.call(t).GetId()
	first.reply(replyOfMany(id, "a", "v", true))
	refusal := &dibsv1.CallError{Code: int32(codes.Unauthenticated), Message: "the token is known no more"}
	first.reply(&dibsv1.SessionReply{Id: id, Response: &dibsv1.SessionReply_Error{Error: refusal}})
	second := receive(t, "another session", sessions)
	again := second.call(t)
	if keys := again.GetGetOrLockMany().GetKeys(); !slices.Equal(keys, []string{"b"}) {
		t.Errorf("it is repeated for %v", keys)
	}
	second.reply(replyOfMany(again.GetId(), "b", "w", false))
	got := receive(t, "the values", call)
	if got.err != nil || got.value["a"] != "v" || got.value["b"] != "w" {
		t.Errorf("got %v, %v", got.value, got.err)
	}
}

func replyOfMany(id int64, key, value string, more bool) *dibsv1.SessionReply {
	its := &dibsv1.GetOrLockManyResponse{Key: key, Result: &dibsv1.GetOrLockManyResponse_Response{
		Response: hitReply(id, value).GetGetOrLock(),
	}}
	return &dibsv1.SessionReply{Id: id, More: more, Response: &dibsv1.SessionReply_GetOrLockMany{GetOrLockMany: its}}
}
