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

// stamp is its last invalidation: its number among all invalidations, and its mode.
type stamp struct {
	at   int
	mode dibsv1.InvalidateMode
}

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
	namespace, stamp := orDefault(request.GetNamespace()), stamp{s.invalidations, request.GetMode()}
	for _, tag := range request.GetTags() {
		s.stamps[tagged{namespace: namespace, tag: tag}] = stamp
	}
	if request.GetAll() {
		s.stamps[tagged{namespace: namespace, all: true}] = stamp
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

// stampSince returns an invalidation after asOf that applies to the published value.
func (s *service) stampSince(asOf int, published *dibsv1.PublishRequest) (stamp, bool) {
	namespace := orDefault(published.GetNamespace())
	reached := []tagged{{namespace: namespace, all: true}}
	for _, tag := range published.GetTags() {
		reached = append(reached, tagged{namespace: namespace, tag: tag})
	}
	for _, what := range reached {
		if stamp, ok := s.stamps[what]; ok && stamp.at > asOf {
			return stamp, true
		}
	}
	return stamp{}, false
}

func orDefault(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}
