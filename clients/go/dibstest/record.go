package dibstest

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// record is what is known about one key.
type record struct {
	value   *value
	lease   *lease
	failure *failure
	// because is the reason of the next lease if there is no value.
	because dibsv1.LeaseReason
	// voided are the tokens of leases that an invalidation has ended.
	voided map[string]bool
	// changed is closed at every change, so that waiters look again.
	changed chan struct{}
}

type value struct {
	// payload is the payload of a publish.
	payload    *dibsv1.PublishRequest
	fence      int64
	freshUntil time.Time
	staleUntil time.Time
}

type lease struct {
	token string
	fence int64
	lasts time.Duration
	until time.Time
	// changes are the invalidations since it was granted, by tag.
	changes map[string]change
}

type failure struct {
	message string
	until   time.Time
	// fence is that of its lease.
	fence int64
}

func newRecord() *record {
	return &record{
		because: dibsv1.LeaseReason_LEASE_REASON_MISS,
		voided:  map[string]bool{},
		changed: make(chan struct{}),
	}
}

func (r *record) change() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// endLease ends the lease, running or expired, and sets the reason of the next one.
func (r *record) endLease(because dibsv1.LeaseReason) {
	r.lease = nil
	r.because = because
	r.change()
}

// isLeased reports whether a lease is running.
func (r *record) isLeased(now time.Time) bool { return r.lease != nil && now.Before(r.lease.until) }

// hit returns the value to serve; nil if there is none or it has expired.
func (r *record) hit(now time.Time) *dibsv1.Hit {
	if r.value == nil || !now.Before(r.value.staleUntil) {
		return nil
	}
	hit := &dibsv1.Hit{
		Freshness:  dibsv1.Freshness_FRESHNESS_STALE,
		Fence:      r.value.fence,
		Rebuilding: r.isLeased(now),
	}
	if now.Before(r.value.freshUntil) {
		hit.Freshness = dibsv1.Freshness_FRESHNESS_FRESH
		hit.FreshForMs = r.value.freshUntil.Sub(now).Milliseconds()
	}
	if r.value.payload.GetAbsent() {
		hit.Payload = &dibsv1.Hit_Absent{Absent: true}
	} else {
		hit.Payload = &dibsv1.Hit_Value{Value: r.value.payload.GetValue()}
	}
	return hit
}

// store stores the value of a publish under the lease.
func (r *record) store(under *lease, request *dibsv1.PublishRequest, now time.Time) {
	freshUntil := now.Add(milliseconds(request.GetTtlMs()))
	r.value = &value{
		payload:    proto.CloneOf(request),
		fence:      under.fence,
		freshUntil: freshUntil,
		staleUntil: freshUntil.Add(milliseconds(request.GetStaleMs())),
	}
	r.failure = nil
	r.endLease(dibsv1.LeaseReason_LEASE_REASON_EXPIRED)
}

// drop forgets the value, or marks it stale.
func (r *record) drop(mode dibsv1.InvalidateMode, now time.Time) {
	if mode == dibsv1.InvalidateMode_INVALIDATE_MODE_MARK_STALE && r.value != nil {
		r.mark(now, now)
	} else {
		r.value = nil
	}
	r.because = dibsv1.LeaseReason_LEASE_REASON_INVALIDATED
	r.change()
}

// mark makes the value stale since that time. Its stale time counts from then on, or continues if it was stale before.
func (r *record) mark(since, now time.Time) {
	its := r.value
	if until := since.Add(its.staleUntil.Sub(its.freshUntil)); until.Before(its.staleUntil) {
		its.staleUntil = until
	}
	if since.Before(its.freshUntil) {
		its.freshUntil = since
	}
	if !now.Before(its.staleUntil) {
		r.value = nil
	}
}

// reason returns the reason of a lease that is granted now.
func (r *record) reason(intent dibsv1.Intent) dibsv1.LeaseReason {
	if intent == dibsv1.Intent_INTENT_REFRESH {
		return dibsv1.LeaseReason_LEASE_REASON_REFRESH
	}
	if r.lease != nil {
		return dibsv1.LeaseReason_LEASE_REASON_HOLDER_LOST
	}
	return r.because
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
