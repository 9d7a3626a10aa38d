package dev.dibs;

import com.google.protobuf.MessageLite;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** One unary gRPC call for each call. */
final class UnaryTransport implements Transport {
  /** What follows an answer is short, and needs no thread of its own. */
  private static final CallOptions OPTIONS = CallOptions.DEFAULT.withExecutor(Runnable::run);

  private final Link link;
  private volatile boolean closed;

  UnaryTransport(Link link) {
    this.link = link;
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    if (closed) return CompletableFuture.failedFuture(DibsStatusException.cancelled("this client is closed"));
    CompletableFuture<R> reply = new CompletableFuture<>();
    ClientCall<Q, R> call =
        channel(terms)
            .newCall(
                method.descriptor(),
                OPTIONS.withDeadlineAfter(terms.deadline().toNanos(), TimeUnit.NANOSECONDS));
    terms.sending().leaves(false);
    ClientCalls.asyncUnaryCall(call, request, into(reply));
    Runnable forget = terms.left().onRaise(() -> call.cancel("the caller has gone", null));
    reply.whenComplete(
        (value, error) -> {
          forget.run();
          if (error != null && DibsStatusException.of(error).isUnreachable()) link.connection().brokeOff();
        });
    link.connection()
        .ifLate(
            late -> {
              reply.completeExceptionally(late);
              call.cancel(late.getMessage(), null);
            });
    return reply;
  }

  @Override
  public void close() {
    closed = true;
    link.close();
  }

  private Channel channel(Terms terms) {
    if (terms.traceparent().isEmpty()) return link.channel();
    return ClientInterceptors.intercept(link.channel(), Link.attach(Tracing.TRACEPARENT, terms.traceparent()));
  }

  private static <R> StreamObserver<R> into(CompletableFuture<R> reply) {
    return new StreamObserver<>() {
      @Override
      public void onNext(R response) {
        reply.complete(response);
      }

      @Override
      public void onError(Throwable error) {
        reply.completeExceptionally(
            error instanceof StatusRuntimeException refused
                ? DibsStatusException.of(refused.getStatus(), refused.getTrailers())
                : DibsStatusException.of(error));
      }

      @Override
      public void onCompleted() {}
    };
  }
}
