package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// rawDeadline is the deadline of calls that set none.
const rawDeadline = 30 * time.Second

// rawCall makes one unary call of the contract: JSON in and JSON out, as proto3 defines it.
func rawCall(ctx context.Context, stub dibsv1.CoordinatorServiceClient, method string, request json.RawMessage) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, rawDeadline)
	defer cancel()
	switch method {
	case "GetOrLock":
		return one(ctx, request, &dibsv1.GetOrLockRequest{}, stub.GetOrLock)
	case "Publish":
		return one(ctx, request, &dibsv1.PublishRequest{}, stub.Publish)
	case "Release":
		return one(ctx, request, &dibsv1.ReleaseRequest{}, stub.Release)
	case "Extend":
		return one(ctx, request, &dibsv1.ExtendRequest{}, stub.Extend)
	case "Invalidate":
		return one(ctx, request, &dibsv1.InvalidateRequest{}, stub.Invalidate)
	case "Explain":
		return one(ctx, request, &dibsv1.ExplainRequest{}, stub.Explain)
	case "GetOrLockMany":
		return many(ctx, request, stub)
	default:
		return nil, fmt.Errorf("no such method: %s", method)
	}
}

func one[In, Out proto.Message](
	ctx context.Context,
	request json.RawMessage,
	in In,
	call func(context.Context, In, ...grpc.CallOption) (Out, error),
) (any, error) {
	if err := protojson.Unmarshal(request, in); err != nil {
		return nil, err
	}
	response, err := call(ctx, in)
	if err != nil {
		return nil, err
	}
	return jsonOf(response), nil
}

func many(ctx context.Context, request json.RawMessage, stub dibsv1.CoordinatorServiceClient) (any, error) {
	in := &dibsv1.GetOrLockManyRequest{}
	if err := protojson.Unmarshal(request, in); err != nil {
		return nil, err
	}
	stream, err := stub.GetOrLockMany(ctx, in)
	if err != nil {
		return nil, err
	}
	responses := []json.RawMessage{}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return result{"responses": responses}, nil
		}
		if err != nil {
			known, _ := status.FromError(err)
			return nil, &dibs.Error{Code: known.Code(), Message: known.Message()}
		}
		responses = append(responses, jsonOf(response))
	}
}

func jsonOf(message proto.Message) json.RawMessage {
	text, err := protojson.Marshal(message)
	if err != nil {
		panic(err)
	}
	return text
}

var capital = regexp.MustCompile("([a-z])([A-Z])")
