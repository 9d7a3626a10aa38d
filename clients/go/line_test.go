package dibs

import (
	"bytes"
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// idleLine sends nothing by itself.
func idleLine() *line {
	return &line{
		session: &session{},
		wake:    make(chan struct{}, 1),
		calls:   map[int64]*openCall{},
		left:    map[int64]*dibsv1.SessionCall{},
	}
}

func publishOf(size int) *dibsv1.SessionCall {
	value := bytes.Repeat([]byte("x"), size)
	return &dibsv1.SessionCall{Request: &dibsv1.SessionCall_Publish{Publish: &dibsv1.PublishRequest{
		Key:     "k",
		Payload: &dibsv1.PublishRequest_Value{Value: value},
	}}}
}

func TestMessagesAreAsLargeAsTheContractAllows(t *testing.T) {
	l := idleLine()
	for _, size := range []int{100, 600_000, 400_000, 400_000, 2_000_000, 1_048_576, 100, 100} {
		l.call(publishOf(size), func(bool) {})
	}
	messages, _ := l.gathered()
	var counts []int
	calls := 0
	for _, message := range messages {
		counts = append(counts, len(message.GetCalls()))
		calls += len(message.GetCalls())
		if len(message.GetCalls()) > 1 && proto.Size(message) > messageBytesMax {
			t.Errorf("a message has %d bytes", proto.Size(message))
		}
	}
	if calls != 8 || len(messages) != 5 {
		t.Errorf("%v calls in the messages", counts)
	}
	if messages, _ := l.gathered(); len(messages) != 0 {
		t.Error("there is more")
	}
}

func TestACallIsNeverCancelledBeforeItIsSent(t *testing.T) {
	l := idleLine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unsent := l.call(publishOf(1), func(bool) {})
	l.leave(ctx, unsent)
	if messages, _ := l.gathered(); len(messages) != 0 {
		t.Errorf("sent %v", messages)
	}
	sent := l.call(publishOf(1), func(bool) {})
	l.gathered()
	l.leave(ctx, sent)
	messages, _ := l.gathered()
	if len(messages) != 1 || len(messages[0].GetCalls()) != 0 || messages[0].GetCancelledIds()[0] != sent.call.GetId() {
		t.Errorf("sent %v", messages)
	}
}

func TestAnAnswerThatCameWhileItsCallerLeftCounts(t *testing.T) {
	l := idleLine()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	call := l.call(publishOf(1), func(bool) {})
	reply := &dibsv1.SessionReply{Id: call.call.GetId()}
	l.end(reply.GetId(), answer{reply: reply})
	if got := l.leave(ctx, call); got.reply != reply {
		t.Errorf("got %v", got)
	}
}

// filled sets every field of a message to something.
func filled[M proto.Message](message M) M {
	its := message.ProtoReflect()
	fields := its.Descriptor().Fields()
	for at := range fields.Len() {
		switch field := fields.Get(at); field.Kind() {
		case protoreflect.MessageKind:
			its.Set(field, protoreflect.ValueOfMessage(its.Mutable(field).Message()))
		case protoreflect.EnumKind:
			its.Set(field, protoreflect.ValueOfEnum(1))
		case protoreflect.BoolKind:
			its.Set(field, protoreflect.ValueOfBool(true))
		default:
			its.Set(field, protoreflect.ValueOfInt64(1))
		}
	}
	return message
}

func TestNoFieldOfAnAnswerIsForgotten(t *testing.T) {
	getOrLock, publish := filled(&dibsv1.GetOrLockResponse{}), filled(&dibsv1.PublishResponse{})
	release, extend := filled(&dibsv1.ReleaseResponse{}), filled(&dibsv1.ExtendResponse{})
	invalidate := filled(&dibsv1.InvalidateResponse{})
	for _, test := range []struct {
		reply      *dibsv1.SessionReply
		want, into proto.Message
	}{
		{&dibsv1.SessionReply{Response: &dibsv1.SessionReply_GetOrLock{GetOrLock: getOrLock}}, getOrLock, &dibsv1.GetOrLockResponse{}},
		{&dibsv1.SessionReply{Response: &dibsv1.SessionReply_Publish{Publish: publish}}, publish, &dibsv1.PublishResponse{}},
		{&dibsv1.SessionReply{Response: &dibsv1.SessionReply_Release{Release: release}}, release, &dibsv1.ReleaseResponse{}},
		{&dibsv1.SessionReply{Response: &dibsv1.SessionReply_Extend{Extend: extend}}, extend, &dibsv1.ExtendResponse{}},
		{&dibsv1.SessionReply{Response: &dibsv1.SessionReply_Invalidate{Invalidate: invalidate}}, invalidate, &dibsv1.InvalidateResponse{}},
	} {
		if err := (answer{reply: test.reply}).read(test.into); err != nil || !proto.Equal(test.into, test.want) {
			t.Errorf("got %v of %v, %v", test.into, test.want, err)
		}
	}
}
