// Package dibstest has a Client for unit tests that needs no service.
//
//	memory := dibstest.New()
//	defer memory.Close()
//	user, err := dibs.Fetch(ctx, memory.Client, "user:42", load, dibs.WithTTL(time.Minute))
//	memory.Advance(time.Minute) // it has expired
//
// It is the real client with a small service in this process's memory. Values and absences have their TTL and their
// stale time, callers are joined and wait, failures back off, and keys and tags can be invalidated. It has no policies,
// no early refresh, and no sessions, so a rebuild learns of a lost lease only after a third of it. Time passes in
// reality, by Advance, and in a bubble of testing/synctest.
package dibstest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// Memory is a Client with its own service in memory.
type Memory struct {
	*dibs.Client
	service *service
}

// New makes an empty one. It accepts the options of [dibs.New] that make sense without a connection, and panics where
// dibs.New fails.
func New(options ...dibs.Option) *Memory { return clientOf(newService(), options) }

// Another returns another client of the same service, like that of another process. They share nothing else.
func (m *Memory) Another(options ...dibs.Option) *Memory { return clientOf(m.service, options) }

func clientOf(service *service, options []dibs.Option) *Memory {
	client, err := dibs.New("", append(slices.Clone(options), dibs.WithConn(conn{service}), dibs.WithSession(false))...)
	if err != nil {
		panic(err)
	}
	return &Memory{Client: client, service: service}
}

// Advance lets time pass for values, leases and back-offs, but not for waiting callers.
func (m *Memory) Advance(by time.Duration) { m.service.advance(by) }

// conn makes the contract's calls to a service in the same process.
type conn struct{ service *service }

func (c conn) Invoke(ctx context.Context, method string, request, reply any, _ ...grpc.CallOption) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	response, err := c.service.answer(ctx, request)
	if err != nil {
		return err
	}
	// A copy, so that no caller can change what is stored.
	proto.Merge(reply.(proto.Message), response)
	return nil
}

func (s *service) answer(ctx context.Context, request any) (proto.Message, error) {
	switch request := request.(type) {
	case *dibsv1.GetOrLockRequest:
		return s.getOrLock(ctx, request)
	case *dibsv1.PublishRequest:
		return s.publish(request)
	case *dibsv1.ReleaseRequest:
		return s.release(request), nil
	case *dibsv1.ExtendRequest:
		return s.extend(request), nil
	case *dibsv1.InvalidateRequest:
		return s.invalidate(request)
	case *dibsv1.ExplainRequest:
		return s.explain(request), nil
	default:
		return nil, status.Error(codes.Unimplemented, fmt.Sprintf("dibstest does not answer %T", request))
	}
}
