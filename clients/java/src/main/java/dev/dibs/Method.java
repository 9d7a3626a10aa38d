package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.ExplainRequest;
import dev.dibs.v1.ExplainResponse;
import dev.dibs.v1.ExtendRequest;
import dev.dibs.v1.ExtendResponse;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.InvalidateRequest;
import dev.dibs.v1.InvalidateResponse;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.PublishResponse;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.ReleaseResponse;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.SessionReply.ResponseCase;
import io.grpc.MethodDescriptor;
import java.util.function.BiConsumer;
import java.util.function.Function;

/**
 * A call of the contract, and how it is sent: as a unary call, and within a session.
 *
 * @param descriptor as a call of its own
 * @param key that the request is about; empty if it is about none
 * @param put puts the request into a session's call
 * @param kind of the reply
 * @param get takes the response out of a session's reply
 */
record Method<Q extends MessageLite, R>(
    MethodDescriptor<Q, R> descriptor,
    Function<Q, String> key,
    BiConsumer<SessionCall.Builder, Q> put,
    ResponseCase kind,
    Function<SessionReply, R> get) {
  static final Method<GetOrLockRequest, GetOrLockResponse> GET_OR_LOCK =
      new Method<>(
          CoordinatorServiceGrpc.getGetOrLockMethod(),
          GetOrLockRequest::getKey,
          SessionCall.Builder::setGetOrLock,
          ResponseCase.GET_OR_LOCK,
          SessionReply::getGetOrLock);
  static final Method<PublishRequest, PublishResponse> PUBLISH =
      new Method<>(
          CoordinatorServiceGrpc.getPublishMethod(),
          PublishRequest::getKey,
          SessionCall.Builder::setPublish,
          ResponseCase.PUBLISH,
          SessionReply::getPublish);
  static final Method<ReleaseRequest, ReleaseResponse> RELEASE =
      new Method<>(
          CoordinatorServiceGrpc.getReleaseMethod(),
          ReleaseRequest::getKey,
          SessionCall.Builder::setRelease,
          ResponseCase.RELEASE,
          SessionReply::getRelease);
  static final Method<ExtendRequest, ExtendResponse> EXTEND =
      new Method<>(
          CoordinatorServiceGrpc.getExtendMethod(),
          ExtendRequest::getKey,
          SessionCall.Builder::setExtend,
          ResponseCase.EXTEND,
          SessionReply::getExtend);
  static final Method<InvalidateRequest, InvalidateResponse> INVALIDATE =
      new Method<>(
          CoordinatorServiceGrpc.getInvalidateMethod(),
          request -> "",
          SessionCall.Builder::setInvalidate,
          ResponseCase.INVALIDATE,
          SessionReply::getInvalidate);
  static final Method<ExplainRequest, ExplainResponse> EXPLAIN =
      new Method<>(
          CoordinatorServiceGrpc.getExplainMethod(),
          ExplainRequest::getKey,
          SessionCall.Builder::setExplain,
          ResponseCase.EXPLAIN,
          SessionReply::getExplain);
}
