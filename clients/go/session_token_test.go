package dibs_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
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
