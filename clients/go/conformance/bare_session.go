package main

import (
	"context"
	"sync"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// bareSession is a minimal client of sessions. Calls that wait to be sent leave in one message.
type bareSession struct {
	hangUp context.CancelFunc
	asking chan *dibsv1.SessionCall

	mu      sync.Mutex
	lastID  int64
	waiting map[int64]chan *dibsv1.SessionReply
	broken  error
}

// gatheredMax is how many small calls stay below the bound of a message.
const gatheredMax = 1000

func openBare(ctx context.Context, stub dibsv1.CoordinatorServiceClient) (*bareSession, error) {
	ctx, hangUp := context.WithCancel(ctx)
	stream, err := stub.Session(ctx)
	if err == nil {
		err = stream.Send(&dibsv1.SessionRequest{Hello: &dibsv1.SessionHello{}})
	}
	if err != nil {
		hangUp()
		return nil, err
	}
	s := &bareSession{
		hangUp:  hangUp,
		asking:  make(chan *dibsv1.SessionCall, gatheredMax),
		waiting: map[int64]chan *dibsv1.SessionReply{},
	}
	go s.send(ctx, stream)
	go s.hear(stream)
	return s, nil
}

func (s *bareSession) close() { s.hangUp() }

func (s *bareSession) getOrLock(request *dibsv1.GetOrLockRequest) error {
	replied := make(chan *dibsv1.SessionReply, 1)
	s.mu.Lock()
	s.lastID++
	call := &dibsv1.SessionCall{Id: s.lastID, Request: &dibsv1.SessionCall_GetOrLock{GetOrLock: request}}
	s.waiting[call.Id] = replied
	s.mu.Unlock()
	s.asking <- call
	if reply := <-replied; reply == nil {
		return s.broken
	}
	return nil
}

func (s *bareSession) send(ctx context.Context, stream dibsv1.CoordinatorService_SessionClient) {
	for {
		select {
		case call := <-s.asking:
			message := &dibsv1.SessionRequest{Calls: []*dibsv1.SessionCall{call}}
			for len(s.asking) > 0 && len(message.Calls) < gatheredMax {
				message.Calls = append(message.Calls, <-s.asking)
			}
			// If this fails, hear has the reason.
			_ = stream.Send(message)
		case <-ctx.Done():
			return
		}
	}
}

func (s *bareSession) hear(stream dibsv1.CoordinatorService_SessionClient) {
	for {
		message, err := stream.Recv()
		s.mu.Lock()
		for _, reply := range message.GetReplies() {
			s.waiting[reply.GetId()] <- reply
			delete(s.waiting, reply.GetId())
		}
		if err != nil {
			s.broken = err
			for _, replied := range s.waiting {
				close(replied)
			}
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}
