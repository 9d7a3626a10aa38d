package dibs

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

const (
	// messageBytesMax is the contract's bound for a message, unless it carries a single call.
	messageBytesMax = 1 << 20
	// strayFor is how long the answer to a cancelled call may be on its way.
	strayFor = 5 * time.Second
	// callOverheadBytes is the size of a call without its own bytes: a tag and a length.
	callOverheadBytes = 6
)

type stream = dibsv1.CoordinatorService_SessionClient

// openCall is a call without an answer so far.
type openCall struct {
	call     *dibsv1.SessionCall
	answered chan answer
	// onSent is called when the call is passed to the stream, which reports changes or not. It runs under the session's
	// lock.
	onSent func(isWatched bool)
	isSent bool
}

// line is one stream, with its open calls. Calls that gather while a message is being sent leave together.
type line struct {
	session *session
	ctx     context.Context
	hangUp  context.CancelFunc
	// wake has a token if there may be something to send.
	wake chan struct{}
	// late breaks the line unless the session is confirmed in time.
	late *patience
	// settled is closed when the session is confirmed or has failed; fault is the reason, written before.
	settled chan struct{}
	fault   error
	// isAccepted: it is the only session with its replica. over is closed when it accepts no more calls; peer is the
	// replica's address.
	isAccepted atomic.Bool
	over       chan struct{}
	peer       string

	// Guarded by the session's lock.
	calls     map[int64]*openCall
	calling   []*openCall
	cancelled []int64
	// left are the requests that were cancelled recently.
	left map[int64]*dibsv1.SessionCall
	// confirmed: everything on the way carries sessions.
	confirmed bool
	// heart is when it was last certain to have reported every change.
	heart heartbeat
	// isFirst: there was no earlier session, so nothing can have been missed.
	isFirst bool
	// askedAt is when it asked for its welcome.
	askedAt time.Duration
	// leaving: new calls go elsewhere. It ends with its last call.
	leaving bool
}

// openLine must have the session's lock.
func openLine(s *session) *line {
	ctx, hangUp := context.WithCancel(context.Background())
	s.lines++
	l := &line{
		isFirst: s.lines == 1,
		askedAt: now(),
		session: s,
		ctx:     ctx,
		hangUp:  hangUp,
		wake:    make(chan struct{}, 1),
		settled: make(chan struct{}),
		over:    make(chan struct{}),
		calls:   make(map[int64]*openCall),
		left:    make(map[int64]*dibsv1.SessionCall),
	}
	l.late = newPatience(s.connect, func() {
		message := fmt.Sprintf("no session within %v", s.connect)
		l.broken(&Error{Code: codes.Unavailable, Message: message, retryAfter: noRetry})
	})
	if s.unended == nil {
		s.unended = make(map[*line]struct{})
	}
	s.unended[l] = struct{}{}
	go l.run(&dibsv1.SessionHello{ResumeToken: s.resumeToken, Holder: s.holder, WatchedNamespaces: s.watched})
	return l
}

// call puts a call on the line; it must have the session's lock.
func (l *line) call(call *dibsv1.SessionCall, onSent func(isWatched bool)) *openCall {
	l.session.nextID++
	call.Id = l.session.nextID
	// One answer for each key, and the error that may end them.
	answers := 1 + len(call.GetGetOrLockMany().GetKeys())
	opened := &openCall{call: call, answered: make(chan answer, answers), onSent: onSent}
	l.calls[call.Id] = opened
	l.calling = append(l.calling, opened)
	l.wakeUp()
	return opened
}

// leave cancels a call whose context has ended, and returns its result then: its answer, if that has already come.
func (l *line) leave(ctx context.Context, its *openCall) answer {
	if !l.cancel(its) {
		return <-its.answered
	}
	return answer{err: l.leftAs(ctx)}
}

// cancel ends a call unless its last answer has come. Answers that have come stay readable.
func (l *line) cancel(its *openCall) (wasOpen bool) {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	id := its.call.GetId()
	if _, isOpen := l.calls[id]; !isOpen {
		return false
	}
	delete(l.calls, id)
	// The service must know a call before it is cancelled. A call that was not sent yet never is.
	if its.isSent {
		l.cancelled = append(l.cancelled, id)
		l.expectStray(id, its.call)
	}
	l.wakeUp()
	return true
}

// leftAs returns the result of a call whose context has ended.
func (l *line) leftAs(ctx context.Context) error {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	err := contextError(ctx)
	if !l.confirmed && err.Code == codes.DeadlineExceeded {
		return noSessionError{err}
	}
	return err
}

// expectStray remembers a request as long as its answer may still come. It must have the session's lock.
func (l *line) expectStray(id int64, call *dibsv1.SessionCall) {
	if call.GetGetOrLock() == nil && call.GetGetOrLockMany() == nil {
		return
	}
	l.left[id] = call
	time.AfterFunc(strayFor, func() {
		l.session.mu.Lock()
		defer l.session.mu.Unlock()
		delete(l.left, id)
	})
}

// stray gives back a lease that was on its way when its caller left. Otherwise no caller would get it until it expires.
// It must have the session's lock.
func (l *line) stray(reply *dibsv1.SessionReply) {
	namespace, key, lease := leaseIn(l.left[reply.GetId()], reply)
	if _, isLeft := l.left[reply.GetId()]; !isLeft || lease == nil {
		return
	}
	// A line that is being left may already have sent its last call.
	to := l
	if l.leaving {
		if l.session.isClosed {
			return
		}
		to = l.session.current()
	}
	// No caller waits for the answer.
	to.call(&dibsv1.SessionCall{Request: &dibsv1.SessionCall_Release{Release: &dibsv1.ReleaseRequest{
		Namespace: namespace,
		Key:       key,
		Token:     lease.GetToken(),
	}}}, func(bool) {})
}

func (l *line) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run opens the stream, and is the only sender on it.
func (l *line) run(hello *dibsv1.SessionHello) {
	stream, err := l.session.stub.Session(l.ctx)
	if err != nil {
		l.broken(asError(err))
		return
	}
	go l.hear(stream)
	// If sending fails, hear has the reason.
	if stream.Send(&dibsv1.SessionRequest{Hello: hello}) != nil {
		return
	}
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		messages, isLast := l.gathered()
		for _, message := range messages {
			if stream.Send(message) != nil {
				return
			}
		}
		if isLast {
			_ = stream.CloseSend()
			return
		}
	}
}

// gathered returns what to send, in messages within the contract's bound, and whether it is the last of this line.
func (l *line) gathered() (messages []*dibsv1.SessionRequest, isLast bool) {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	calling, cancelled := l.calling, l.cancelled
	l.calling, l.cancelled = nil, nil
	isLast = l.leaving && len(l.calls) == 0
	// A call that waited here while the line was left goes to a replica that may report no more changes.
	isWatched := len(l.session.watched) > 0 && !l.isOver()
	message, bytes := &dibsv1.SessionRequest{CancelledIds: cancelled}, 0
	for _, its := range calling {
		if _, isOpen := l.calls[its.call.GetId()]; !isOpen {
			continue
		}
		its.isSent = true
		its.onSent(isWatched)
		size := proto.Size(its.call) + callOverheadBytes
		if len(message.Calls) > 0 && bytes+size > messageBytesMax {
			messages = append(messages, message)
			message, bytes = &dibsv1.SessionRequest{}, 0
		}
		message.Calls = append(message.Calls, its.call)
		bytes += size
	}
	if len(message.Calls)+len(message.CancelledIds) > 0 {
		messages = append(messages, message)
	}
	return messages, isLast
}

// answers never blocks. Anything beyond what a call may have is not its answer.
func (o *openCall) answers(its answer) {
	select {
	case o.answered <- its:
	default:
	}
}

// goesOn answers a call that stays open. It must have the session's lock.
func (l *line) goesOn(id int64, its answer) {
	if opened, isOpen := l.calls[id]; isOpen {
		opened.answers(its)
	}
}

// end answers an open call for the last time. It must have the session's lock.
func (l *line) end(id int64, its answer) {
	opened, isOpen := l.calls[id]
	if !isOpen {
		return
	}
	delete(l.calls, id)
	opened.answers(its)
	if l.leaving && len(l.calls) == 0 {
		l.wakeUp()
	}
}
