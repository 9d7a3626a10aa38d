package dibstest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	keyBytesMax  = 1024
	ttlMax       = 365 * 24 * time.Hour
	waitMax      = 30 * time.Second
	usualLease   = 10 * time.Second
	usualBackOff = time.Second
	// retryAfter is when a caller whose wait has ended should retry.
	retryAfter = 100 * time.Millisecond
)

// id is a key in its namespace.
type id struct{ namespace, key string }

// service is a coordinator for one process: one lease at a time for each key.
type service struct {
	mu      sync.Mutex
	ahead   time.Duration
	records map[id]*record
	leases  int64
}

func newService() *service {
	return &service{records: map[id]*record{}}
}

// now must be called with the lock held, like everything below that is not a call of the contract.
func (s *service) now() time.Time { return time.Now().Add(s.ahead) }

func (s *service) advance(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += by
	for _, record := range s.records {
		record.change()
	}
}

func (s *service) of(namespace, key string) *record {
	its := id{orDefault(namespace), key}
	known, ok := s.records[its]
	if !ok {
		known = newRecord()
		s.records[its] = known
	}
	return known
}

func (s *service) getOrLock(ctx context.Context, request *dibsv1.GetOrLockRequest) (*dibsv1.GetOrLockResponse, error) {
	if size := len(request.GetKey()); size < 1 || size > keyBytesMax {
		return nil, invalid("key: %d bytes is outside 1 to %d", size, keyBytesMax)
	}
	wait := waitMax
	if request.WaitMs != nil {
		wait = milliseconds(request.GetWaitMs())
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	var waitsFor int64
	for {
		response, held := s.look(request, waitsFor)
		if response != nil {
			response.Degraded = dibsv1.Degraded_DEGRADED_NONE
			return response, nil
		}
		waitsFor = held.fence
		expiry := time.NewTimer(held.left)
		select {
		case <-held.changed:
		case <-expiry.C:
		case <-timeout.C:
			expiry.Stop()
			return busy(dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED), nil
		case <-ctx.Done():
			expiry.Stop()
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		expiry.Stop()
	}
}

// held is a lease that a caller waits for.
type held struct {
	fence int64
	left  time.Duration
	// changed is closed at the next change.
	changed <-chan struct{}
}

// look returns the answer, or the lease to wait for. waitsFor is the fence of the lease that the caller has waited for.
func (s *service) look(request *dibsv1.GetOrLockRequest, waitsFor int64) (*dibsv1.GetOrLockResponse, held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, record := s.now(), s.of(request.GetNamespace(), request.GetKey())
	hit := record.hit(now)
	isRefresh := request.GetIntent() == dibsv1.Intent_INTENT_REFRESH
	serves := hit != nil && (hit.GetFreshness() == dibsv1.Freshness_FRESHNESS_FRESH || request.GetStale() != dibsv1.Stale_STALE_FORBID)
	backsOff := record.failure != nil && now.Before(record.failure.until)
	switch {
	case serves && !isRefresh && (hit.GetFreshForMs() > 0 || record.isLeased(now)):
		return hitting(hit), held{}
	case record.isLeased(now):
		return nil, held{record.lease.fence, record.lease.until.Sub(now), record.changed}
	case backsOff && serves && !isRefresh:
		return hitting(hit), held{}
	// A refresh does not wait for the back-off of a failure that it has not waited for.
	case backsOff && (!isRefresh || record.failure.fence == waitsFor):
		return failing(record.failure, now), held{}
	case request.GetIntent() == dibsv1.Intent_INTENT_READ:
		if serves {
			return hitting(hit), held{}
		}
		return busy(dibsv1.BusyReason_BUSY_REASON_NO_VALUE), held{}
	}
	if !serves {
		hit = nil
	}
	return s.grant(record, request, hit, now), held{}
}

func (s *service) grant(
	record *record,
	request *dibsv1.GetOrLockRequest,
	previous *dibsv1.Hit,
	now time.Time,
) *dibsv1.GetOrLockResponse {
	lasts := usualLease
	if request.LeaseMs != nil {
		lasts = milliseconds(request.GetLeaseMs())
	}
	reason := record.reason(request.GetIntent())
	s.leases++
	record.lease = &lease{
		token:   "lease-" + strconv.FormatInt(s.leases, 10),
		fence:   s.leases,
		lasts:   lasts,
		until:   now.Add(lasts),
		changes: map[string]change{},
	}
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Lease{Lease: &dibsv1.Lease{
		Token:       record.lease.token,
		Fence:       record.lease.fence,
		ExpiresInMs: lasts.Milliseconds(),
		Previous:    previous,
		Reason:      reason,
	}}}
}

func (s *service) publish(request *dibsv1.PublishRequest) (*dibsv1.PublishResponse, error) {
	if ttl := request.GetTtlMs(); ttl < 1 || ttl > ttlMax.Milliseconds() {
		return nil, invalid("ttl_ms: %d is outside 1 to %d", ttl, ttlMax.Milliseconds())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, record := s.now(), s.of(request.GetNamespace(), request.GetKey())
	outcome, counts := dibsv1.PublishOutcome_PUBLISH_OUTCOME_UNKNOWN_LEASE, (*bool)(nil)
	switch armed := record.lease; {
	case record.voided[request.GetToken()]:
		outcome = dibsv1.PublishOutcome_PUBLISH_OUTCOME_INVALIDATED
	case armed != nil && armed.token == request.GetToken():
		outcome = dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED
		if !record.isLeased(now) {
			outcome = dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED_LATE
		}
		record.store(armed, request, now)
		// A value whose tags were invalidated during the rebuild is already outdated.
		counts = proto.Bool(record.apply(armed, now))
	}
	response := &dibsv1.PublishResponse{Outcome: outcome, Counts: counts}
	if record.value != nil {
		response.Fence = record.value.fence
	}
	return response, nil
}

func (s *service) release(request *dibsv1.ReleaseRequest) *dibsv1.ReleaseResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, record := s.now(), s.of(request.GetNamespace(), request.GetKey())
	if !record.isLeased(now) || record.lease.token != request.GetToken() {
		return &dibsv1.ReleaseResponse{Outcome: dibsv1.ReleaseOutcome_RELEASE_OUTCOME_NOT_HELD}
	}
	if failed := request.GetFailure(); failed != nil {
		backOff := usualBackOff
		if failed.RetryAfterMs != nil {
			backOff = milliseconds(failed.GetRetryAfterMs())
		}
		record.failure = &failure{failed.GetMessage(), now.Add(backOff), record.lease.fence}
	}
	record.endLease(dibsv1.LeaseReason_LEASE_REASON_HOLDER_LOST)
	return &dibsv1.ReleaseResponse{Outcome: dibsv1.ReleaseOutcome_RELEASE_OUTCOME_RELEASED}
}

func (s *service) extend(request *dibsv1.ExtendRequest) *dibsv1.ExtendResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, record := s.now(), s.of(request.GetNamespace(), request.GetKey())
	if !record.isLeased(now) || record.lease.token != request.GetToken() {
		return &dibsv1.ExtendResponse{Outcome: dibsv1.ExtendOutcome_EXTEND_OUTCOME_LOST}
	}
	lasts := record.lease.lasts
	if request.LeaseMs != nil {
		lasts = milliseconds(request.GetLeaseMs())
	}
	record.lease.until = now.Add(lasts)
	return &dibsv1.ExtendResponse{Outcome: dibsv1.ExtendOutcome_EXTEND_OUTCOME_EXTENDED, ExpiresInMs: lasts.Milliseconds()}
}

func hitting(hit *dibsv1.Hit) *dibsv1.GetOrLockResponse {
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Hit{Hit: hit}}
}

func busy(reason dibsv1.BusyReason) *dibsv1.GetOrLockResponse {
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Busy{Busy: &dibsv1.Busy{
		RetryAfterMs: retryAfter.Milliseconds(),
		Reason:       reason,
	}}}
}

func failing(failure *failure, now time.Time) *dibsv1.GetOrLockResponse {
	return &dibsv1.GetOrLockResponse{Outcome: &dibsv1.GetOrLockResponse_Failed{Failed: &dibsv1.Failed{
		Message:      failure.message,
		RetryAfterMs: failure.until.Sub(now).Milliseconds(),
	}}}
}

func invalid(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}
