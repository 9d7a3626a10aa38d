package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.CoordinatorServiceGrpc;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** One unary gRPC call per call. */
final class UnaryTransport implements Transport {
  private final Link link;
  private final CallOptions options;
  private volatile boolean closed;

  UnaryTransport(Link link) {
    this.link = link;
    // The work after an answer is short and needs no thread of its own.
    this.options =
        CallOptions.DEFAULT.withExecutor(Runnable::run).withOption(AddressBalancer.CONNECTED, link.connection());
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    if (closed) return CompletableFuture.failedFuture(DibsStatusException.cancelled("this client is closed"));
    CompletableFuture<R> reply = new CompletableFuture<>();
    ClientCall<Q, R> call = begun(method.descriptor(), terms);
    ClientCalls.asyncUnaryCall(call, request, into(reply, reply::complete));
    watch(call, reply, terms);
    return reply;
  }

  @Override
  public CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer) {
    if (closed) return CompletableFuture.failedFuture(DibsStatusException.cancelled("this client is closed"));
    CompletableFuture<Void> end = new CompletableFuture<>();
    var call = begun(CoordinatorServiceGrpc.getGetOrLockManyMethod(), terms);
    ClientCalls.asyncServerStreamingCall(call, request, into(end, onAnswer));
    watch(call, end, terms);
    return end;
  }

  private <Q, R> ClientCall<Q, R> begun(MethodDescriptor<Q, R> method, Terms terms) {
    CallOptions bounded = options.withDeadlineAfter(terms.deadline().toNanos(), TimeUnit.NANOSECONDS);
    ClientCall<Q, R> call = channel(terms).newCall(method, bounded);
    terms.sending().leaves(null);
    return call;
  }

  private void watch(ClientCall<?, ?> call, CompletableFuture<?> reply, Terms terms) {
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

  /** {@code reply} completes with the call, if it has not completed with a response. */
  private static <R> StreamObserver<R> into(CompletableFuture<?> reply, Consumer<R> onResponse) {
    return new StreamObserver<>() {
      @Override
      public void onNext(R response) {
        onResponse.accept(response);
      }

      @Override
      public void onError(Throwable error) {
        reply.completeExceptionally(
            error instanceof StatusRuntimeException refused
                ? DibsStatusException.of(refused.getStatus(), refused.getTrailers())
                : DibsStatusException.of(error));
      }

      @Override
      public void onCompleted() {
        reply.complete(null);
      }
    };
  }
}
