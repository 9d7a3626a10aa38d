package dibs

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// hear reads until the stream ends.
func (l *line) hear(stream stream) {
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			l.broken(&Error{Code: codes.Unavailable, Message: "the session was closed", retryAfter: noRetry})
			return
		}
		if err != nil {
			l.broken(errorOf(err, stream.Trailer()))
			return
		}
		l.heard(message, stream.Context())
	}
}

// heard handles events before the replies of the same message, because they may be newer.
func (l *line) heard(message *dibsv1.SessionResponse, of context.Context) {
	if message.GetWelcome() != nil {
		l.late.stop()
		l.welcomed(of)
	}
	for _, event := range message.GetEvents() {
		switch event := event.GetEvent().(type) {
		case *dibsv1.SessionEvent_LeaseLost:
			l.session.listener.leaseLost(event.LeaseLost.GetToken())
		case *dibsv1.SessionEvent_Invalidated:
			l.session.listener.invalidated(event.Invalidated)
		case *dibsv1.SessionEvent_Beat:
			l.beaten()
		}
	}
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	if welcome := message.GetWelcome(); welcome != nil && !l.confirmed && l.fault == nil {
		l.confirmed = true
		close(l.settled)
		if !l.leaving {
			l.session.resumeToken = welcome.GetResumeToken()
		}
	}
	for _, reply := range message.GetReplies() {
		l.stray(reply)
		if reply.GetMore() {
			l.goesOn(reply.GetId(), answer{reply: reply})
			continue
		}
		l.end(reply.GetId(), l.answerOf(reply))
	}
	for _, event := range message.GetEvents() {
		if event.GetDraining() != nil {
			l.leavesOff()
		}
	}
}

// beaten: a beat has come. If it is late, this process stood still. Changes that were sent before it may be read after
// it, from the connections of other sessions. So everything may have changed. That is told before the beat counts,
// because another goroutine could serve an older entry in between.
func (l *line) beaten() {
	if l.heart.isLate(now()) {
		l.session.listener.sessionChanged()
	}
	l.heart.beat()
}

// answerOf ends a call. If it is refused because of the session's token, it may be sent with the current token, like
// the next ones. It must have the session's lock.
func (l *line) answerOf(reply *dibsv1.SessionReply) answer {
	refused := reply.GetError()
	if codes.Code(refused.GetCode()) != codes.Unauthenticated {
		return answer{reply: reply}
	}
	l.leavesOff()
	return answer{err: noSessionError{callErrorOf(refused)}}
}

func (l *line) welcomed(of context.Context) {
	if its, ok := peer.FromContext(of); ok {
		l.peer = its.Addr.String()
	}
	l.isAccepted.Store(true)
	if !l.session.pool.accepts(l) {
		l.isAccepted.Store(false)
		l.session.mu.Lock()
		defer l.session.mu.Unlock()
		l.leavesOff()
		return
	}
	if l.mayHaveMissed(now()) {
		l.session.listener.sessionChanged()
	}
	l.session.listener.sessionBegan()
	l.heart.beat()
	if len(l.session.watched) > 0 {
		l.session.listener.sessionOpened(&l.heart)
	}
	// Another session may have left it meanwhile.
	if l.isOver() {
		l.session.listener.sessionOver(&l.heart)
	}
}

// mayHaveMissed reports whether changes may be unread if the welcome comes at this time: an earlier session may have
// missed some. If the welcome is late, this process stood still, as before a late beat.
func (l *line) mayHaveMissed(at time.Duration) bool { return !l.isFirst || at-l.askedAt >= beatWithin }

// leavesOff sends new calls to another replica. It must have the session's lock.
func (l *line) leavesOff() {
	// A later line has a token of its own.
	if l.session.line == l {
		l.session.line, l.session.resumeToken = nil, ""
	}
	if !l.isOver() {
		l.endsCalls()
		l.unwatched()
	}
	l.leaving = true
	l.wakeUp()
}

// unwatched: it reports no more changes. A replica that drains may have stopped to, and so may one that knows the token
// no more, even while it sends beats.
func (l *line) unwatched() {
	if l.isAccepted.Load() {
		l.session.listener.sessionOver(&l.heart)
		l.session.listener.sessionChanged()
	}
}

// endsCalls is called when new calls go elsewhere. It must have the session's lock.
func (l *line) endsCalls() {
	if l.isOver() {
		return
	}
	close(l.over)
	if l.isAccepted.Load() {
		l.session.pool.over(l.session, l.peer)
	}
}

func (l *line) isOver() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// await waits until there is a session, and fails if there can be none.
func (l *line) await(ctx context.Context) error {
	select {
	case <-l.settled:
		return l.fault
	case <-ctx.Done():
		return gone(ctx)
	}
}

// broken ends the line, and its calls with the error.
func (l *line) broken(err *Error) {
	// Also if it was left: copies may have come since.
	l.unwatched()
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.endsCalls()
	l.late.stop()
	l.hangUp()
	delete(l.session.unended, l)
	if l.session.line == l {
		l.session.line = nil
	}
	its := answer{err: noSessionError{err}}
	if l.confirmed {
		its = answer{err: breakOf(err)}
	} else if l.fault == nil {
		l.fault = err
		close(l.settled)
	}
	for id := range l.calls {
		l.end(id, its)
	}
}

// breakOf: a broken stream says nothing about the call, which may be made again. A refusal does. A token that has
// expired may have a successor, with which the next session begins.
func breakOf(err *Error) *Error {
	switch err.Code {
	case codes.PermissionDenied, codes.InvalidArgument, codes.ResourceExhausted:
		return err
	default:
		return &Error{Code: codes.Unavailable, Message: err.Message, retryAfter: err.retryAfter}
	}
}
