package dibs_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestASetDoesNotOutlastItsLease(t *testing.T) {
	for name, test := range map[string]struct {
		retryAfterMs int64
		attempts     int
	}{
		"the next attempt would come after its end": {3000, 1},
		"all attempts are within it":                {50, 4},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.getOrLock.will(lease("token", 2500))
			fake.publish.will(refuses[*dibsv1.PublishRequest, *dibsv1.PublishResponse](codes.ResourceExhausted, "too many", test.retryAfterMs))
			onFake(t, fake, func(t *testing.T, its *dibs.Client) {
				began := time.Now()
				_, err := dibs.Set(t.Context(), its, "k", "v")
				if status.Code(err) != codes.ResourceExhausted || time.Since(began) > 2500*time.Millisecond {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
			if attempts := len(fake.publish.heard()); attempts != test.attempts {
				t.Errorf("tried %d times", attempts)
			}
		})
	}
}
