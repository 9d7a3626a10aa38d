package dibstest

import (
	"slices"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// change is how one tag, or the whole namespace, was invalidated during a lease.
type change struct {
	isDeleted bool
	// markedAt is the first mark, from which the stale time counts; zero if there was none.
	markedAt time.Time
}

// ofAll is the change of the whole namespace, because no tag is empty.
const ofAll = ""

func (s *service) invalidate(request *dibsv1.InvalidateRequest) (*dibsv1.InvalidateResponse, error) {
	if len(request.GetKeys())+len(request.GetTags()) == 0 && !request.GetAll() {
		return nil, invalid("keys: name keys, tags, or all")
	}
	if len(request.GetKeys())+len(request.GetTags()) > 0 && request.GetAll() {
		return nil, invalid("all: if true, keys and tags must be empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &dibsv1.InvalidateResponse{}
	for _, key := range request.GetKeys() {
		s.invalidateKey(request, key, response)
	}
	now, namespace := s.now(), orDefault(request.GetNamespace())
	for its, record := range s.records {
		if its.namespace != namespace {
			continue
		}
		if request.GetAll() {
			record.failure = nil
		}
		if record.lease != nil {
			record.lease.invalidated(request, now)
		}
		if record.value != nil && reaches(request, record.value.payload.GetTags()) {
			record.drop(request.GetMode(), now)
		}
	}
	return response, nil
}

func (s *service) invalidateKey(request *dibsv1.InvalidateRequest, key string, response *dibsv1.InvalidateResponse) {
	now, record := s.now(), s.of(request.GetNamespace(), key)
	if record.hit(now) != nil {
		response.KeysInvalidated++
	}
	if record.isLeased(now) {
		response.LeasesVoided++
		record.voided[record.lease.token] = true
	}
	record.lease, record.failure = nil, nil
	record.drop(request.GetMode(), now)
}

// reaches reports whether an invalidation by tags, or of everything, applies to something with these tags.
func reaches(request *dibsv1.InvalidateRequest, tags []string) bool {
	return request.GetAll() || slices.ContainsFunc(tags, func(tag string) bool {
		return slices.Contains(request.GetTags(), tag)
	})
}

// invalidated remembers what may reach the value that is published under the lease.
func (l *lease) invalidated(request *dibsv1.InvalidateRequest, now time.Time) {
	reached := request.GetTags()
	if request.GetAll() {
		reached = []string{ofAll}
	}
	for _, tag := range reached {
		its := l.changes[tag]
		if request.GetMode() != dibsv1.InvalidateMode_INVALIDATE_MODE_MARK_STALE {
			its.isDeleted = true
		} else if its.markedAt.IsZero() {
			its.markedAt = now
		}
		l.changes[tag] = its
	}
}

// apply does to the value that was just published what was invalidated during its lease, and reports whether it still
// counts. A mark does not count beside a deletion.
func (r *record) apply(under *lease, now time.Time) (counts bool) {
	counts = true
	for _, tag := range append([]string{ofAll}, r.value.payload.GetTags()...) {
		its, isChanged := under.changes[tag]
		counts = counts && !isChanged
		if its.isDeleted {
			r.value = nil
			break
		}
		if !its.markedAt.IsZero() && r.value != nil {
			r.mark(its.markedAt, now)
		}
	}
	if !counts {
		r.because = dibsv1.LeaseReason_LEASE_REASON_INVALIDATED
	}
	return counts
}

func orDefault(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}
