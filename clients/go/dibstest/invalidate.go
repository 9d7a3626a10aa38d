package dibstest

import (
	"slices"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// tagged is everything with a tag, or the whole namespace.
type tagged struct {
	namespace string
	tag       string
	all       bool
}

// stamp is its last invalidation of each mode: their numbers among all invalidations.
type stamp map[dibsv1.InvalidateMode]int

func (s *service) invalidate(request *dibsv1.InvalidateRequest) (*dibsv1.InvalidateResponse, error) {
	if len(request.GetKeys())+len(request.GetTags()) == 0 && !request.GetAll() {
		return nil, invalid("keys: name keys, tags, or all")
	}
	if len(request.GetKeys())+len(request.GetTags()) > 0 && request.GetAll() {
		return nil, invalid("all: keys and tags must be empty where it is true")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &dibsv1.InvalidateResponse{}
	for _, key := range request.GetKeys() {
		s.invalidateKey(request, key, response)
	}
	s.invalidations++
	namespace := orDefault(request.GetNamespace())
	for _, tag := range request.GetTags() {
		s.stamp(tagged{namespace: namespace, tag: tag}, request.GetMode())
	}
	if request.GetAll() {
		s.stamp(tagged{namespace: namespace, all: true}, request.GetMode())
	}
	for its, record := range s.records {
		if its.namespace == namespace && record.value != nil && reaches(request, record.value.payload.GetTags()) {
			record.drop(request.GetMode(), s.now())
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
	record.lease = nil
	record.drop(request.GetMode(), now)
}

// reaches reports whether an invalidation by tags, or of everything, applies to something with these tags.
func reaches(request *dibsv1.InvalidateRequest, tags []string) bool {
	return request.GetAll() || slices.ContainsFunc(tags, func(tag string) bool {
		return slices.Contains(request.GetTags(), tag)
	})
}

func (s *service) stamp(what tagged, mode dibsv1.InvalidateMode) {
	if s.stamps[what] == nil {
		s.stamps[what] = stamp{}
	}
	s.stamps[what][mode] = s.invalidations
}

// stampSince returns the mode of the invalidations after asOf that apply to the published value. One that only marks
// it stale does not count beside one that deletes it.
func (s *service) stampSince(asOf int, published *dibsv1.PublishRequest) (mode dibsv1.InvalidateMode, isReached bool) {
	namespace := orDefault(published.GetNamespace())
	reached := []tagged{{namespace: namespace, all: true}}
	for _, tag := range published.GetTags() {
		reached = append(reached, tagged{namespace: namespace, tag: tag})
	}
	for _, what := range reached {
		for its, at := range s.stamps[what] {
			if at > asOf && (!isReached || its != dibsv1.InvalidateMode_INVALIDATE_MODE_MARK_STALE) {
				mode, isReached = its, true
			}
		}
	}
	return mode, isReached
}

func orDefault(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}
