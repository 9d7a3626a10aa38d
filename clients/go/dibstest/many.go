package dibstest

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// NewStream makes a call with one answer for each key.
func (c conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	if desc.StreamName != "GetOrLockMany" {
		return nil, status.Error(codes.Unimplemented, "dibstest has no sessions")
	}
	return &manyStream{ctx: ctx, service: c.service}, nil
}

// manyStream is the stream of answers of a GetOrLockMany.
type manyStream struct {
	ctx       context.Context
	service   *service
	namespace string
	left      int
	answers   chan *dibsv1.GetOrLockManyResponse
}

// SendMsg makes the call.
func (s *manyStream) SendMsg(message any) error {
	request := message.(*dibsv1.GetOrLockManyRequest)
	s.namespace, s.left = request.GetNamespace(), len(request.GetKeys())
	s.answers = make(chan *dibsv1.GetOrLockManyResponse, s.left)
	for _, key := range request.GetKeys() {
		go func() {
			response, err := s.service.getOrLock(s.ctx, &dibsv1.GetOrLockRequest{
				Namespace: request.GetNamespace(),
				Key:       key,
				WaitMs:    request.WaitMs,
				LeaseMs:   request.LeaseMs,
				Stale:     request.GetStale(),
				Read:      request.GetRead(),
				RequestId: request.GetRequestId(),
				Intent:    request.GetIntent(),
			})
			s.answers <- answerOf(key, response, err)
		}()
	}
	return nil
}

func answerOf(key string, response *dibsv1.GetOrLockResponse, err error) *dibsv1.GetOrLockManyResponse {
	if err != nil {
		its := status.Convert(err)
		return &dibsv1.GetOrLockManyResponse{Key: key, Result: &dibsv1.GetOrLockManyResponse_Error{
			Error: &dibsv1.CallError{Code: int32(its.Code()), Message: its.Message()},
		}}
	}
	return &dibsv1.GetOrLockManyResponse{Key: key, Result: &dibsv1.GetOrLockManyResponse_Response{Response: response}}
}

// RecvMsg receives the next answer.
func (s *manyStream) RecvMsg(into any) error {
	if s.left == 0 {
		return io.EOF
	}
	select {
	case its := <-s.answers:
		s.left--
		proto.Merge(into.(proto.Message), its)
		return nil
	case <-s.ctx.Done():
		unread := s.left
		s.left = 0
		go s.giveBack(unread)
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

// giveBack ends the leases that no caller reads. Each call ends soon, because its context has ended.
func (s *manyStream) giveBack(unread int) {
	for range unread {
		its := <-s.answers
		if lease := its.GetResponse().GetLease(); lease != nil {
			s.service.release(&dibsv1.ReleaseRequest{Namespace: s.namespace, Key: its.GetKey(), Token: lease.GetToken()})
		}
	}
}

// CloseSend does nothing, because there is one request.
func (s *manyStream) CloseSend() error { return nil }

// Context returns the call's context.
func (s *manyStream) Context() context.Context { return s.ctx }

// Header is empty.
func (s *manyStream) Header() (metadata.MD, error) { return nil, nil }

// Trailer is empty.
func (s *manyStream) Trailer() metadata.MD { return nil }

// explain has no past leases and no waiters, because nothing here counts them.
func (s *service) explain(request *dibsv1.ExplainRequest) *dibsv1.ExplainResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, record := s.now(), s.of(request.GetNamespace(), request.GetKey())
	response := &dibsv1.ExplainResponse{Degraded: dibsv1.Degraded_DEGRADED_NONE}
	if record.isLeased(now) {
		response.Fence = record.lease.fence
		response.Lease = &dibsv1.LeaseInfo{Fence: record.lease.fence, ExpiresInMs: record.lease.until.Sub(now).Milliseconds()}
	}
	if hit := record.hit(now); hit != nil {
		response.Fence = max(response.Fence, hit.GetFence())
		response.Value = &dibsv1.ValueInfo{
			Absent:     record.value.payload.GetAbsent(),
			Freshness:  hit.GetFreshness(),
			SizeBytes:  int64(len(record.value.payload.GetValue())),
			FreshForMs: hit.GetFreshForMs(),
			StaleForMs: record.value.staleUntil.Sub(now).Milliseconds(),
			Fence:      hit.GetFence(),
			Tags:       record.value.payload.GetTags(),
		}
	}
	if record.failure != nil && now.Before(record.failure.until) {
		response.Failed = failing(record.failure, now).GetFailed()
	}
	return response
}
