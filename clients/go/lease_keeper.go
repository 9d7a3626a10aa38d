package dibs

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// extendThirdMin: a third of a few milliseconds is too short. The end is near, and is reported when it comes.
	extendThirdMin = 5 * time.Millisecond
	// extendMax is what an extension may take if the lease leaves it the time. A hanging attempt must not cost the next
	// ones.
	extendMax = 2 * time.Second
)

// extend asks for more time, and ends within the timeout.
type extend func(ctx context.Context, timeout time.Duration) (*dibsv1.ExtendResponse, error)

// keepLease extends a lease every third of the remaining time until ctx ends, so two extensions in a row may be lost.
// It returns true when the lease is over: the service says so, no extension came in time, or it was held for holdMax. A
// hanging rebuild must not keep its key from all others forever.
//
// A lease counts from when its request was sent, because its answer may have lain unread while this process stood still.
// But the service may also have granted it after a wait. So if less than a third is left, it is extended at once, and
// that answer decides.
func keepLease(ctx context.Context, sentAt time.Time, expiresIn, holdMax time.Duration, ask extend) (lost bool) {
	now := time.Now()
	ends, heldMax := sentAt.Add(expiresIn), now.Add(holdMax)
	due := now.Add(thirdOf(ends.Sub(now)))
	if ends.Sub(now) < expiresIn/3 {
		due = now
		if least := now.Add(min(expiresIn, extendMax)); least.After(ends) {
			ends = least
		}
	}
	for {
		pause(ctx, max(0, min(time.Until(ends), time.Until(heldMax), time.Until(due))))
		if ctx.Err() != nil {
			return false
		}
		asked := time.Now()
		if !asked.Before(ends) || !asked.Before(heldMax) {
			return true
		}
		// A hanging attempt ends with the lease, so the loss is reported then and not later, even if it goes on without a
		// session, where its own time begins again.
		within, cancel := context.WithDeadline(ctx, ends)
		response, err := ask(within, min(extendMax, ends.Sub(asked)))
		cancel()
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			// No answer is not a loss: the lease keeps its end, and the next third brings another attempt.
			if asError(err).Code == codes.InvalidArgument {
				return true
			}
		case response.GetOutcome() == dibsv1.ExtendOutcome_EXTEND_OUTCOME_LOST:
			return true
		case response.GetOutcome() == dibsv1.ExtendOutcome_EXTEND_OUTCOME_EXTENDED:
			ends = asked.Add(milliseconds(response.GetExpiresInMs()))
		}
		due = time.Now().Add(thirdOf(time.Until(ends)))
	}
}

func thirdOf(left time.Duration) time.Duration {
	return max(extendThirdMin, left/3)
}

// pause ends after d, or with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
