package dibs_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/metadata"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// What a context carries for other services, such as their tokens, is not for this one.
func TestAnInvalidationSendsNothingOfOtherServices(t *testing.T) {
	fake := startFake(t)
	var came metadata.MD
	fake.invalidate.will(func(ctx context.Context, _ *dibsv1.InvalidateRequest) (*dibsv1.InvalidateResponse, error) {
		came, _ = metadata.FromIncomingContext(ctx)
		return &dibsv1.InvalidateResponse{}, nil
	})
	its := client(t, fake.target, dibs.WithSession(false))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer theirs", "x-user", "ada")
	if _, err := its.Invalidate(ctx, dibs.Invalidation{Keys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	if len(came.Get("authorization"))+len(came.Get("x-user")) > 0 {
		t.Errorf("it was sent %v", came)
	}
}
