// Package dibstest has a Client for unit tests that needs no service.
//
//	memory := dibstest.New()
//	defer memory.Close()
//	user, err := dibs.Fetch(ctx, memory.Client, "user:42", load, dibs.WithTTL(time.Minute))
//	memory.Advance(time.Minute) // it has expired
//
// It is the real client, with a small service in this process's memory: values and the knowledge that there are none
// have their TTL and their stale time, callers are joined and wait, failures back off, keys and tags are invalidated.
// It has no policies of namespaces, no early refresh, and no sessions, so that a rebuild hears of a lost lease after a
// third of it. Times pass as they do, by Advance, and in a bubble of testing/synctest.
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

// New makes one that knows nothing yet. Its options are those of [dibs.New], as far as they make sense without a
// connection; it panics where New fails.
func New(options ...dibs.Option) *Memory { return clientOf(newService(), options) }

// Another is a client of the same service, as another process has it: nothing else is shared.
func (m *Memory) Another(options ...dibs.Option) *Memory { return clientOf(m.service, options) }

func clientOf(service *service, options []dibs.Option) *Memory {
	client, err := dibs.New("", append(slices.Clone(options), dibs.WithConn(conn{service}), dibs.WithSession(false))...)
	if err != nil {
		panic(err)
	}
	return &Memory{Client: client, service: service}
}

// Advance lets time pass for values, leases and back-offs, but not for callers that wait.
func (m *Memory) Advance(by time.Duration) { m.service.advance(by) }

// conn makes calls of the contract to a service in the same process.
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
