package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.SessionStream.NoSessionException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** A session where that can be had, and one call after the other where something on the way breaks streams. */
final class SessionOrUnary implements Transport {
  /** How long calls go one by one after a session could not be had and they could. */
  private static final Duration UNARY_FOR = Duration.ofSeconds(60);

  private final Transport session;
  private final Transport unary;
  private volatile long unaryUntilNanos = System.nanoTime();

  SessionOrUnary(Transport session, Transport unary) {
    this.session = session;
    this.unary = unary;
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    // Beyond the bound of a session's message only the call itself is refused, and not the stream with all others.
    boolean isTooLarge = request.getSerializedSize() > SessionStream.REQUEST_BYTES_MAX;
    if (isTooLarge || System.nanoTime() - unaryUntilNanos < 0) return unary.call(method, request, terms);
    CompletableFuture<R> reply = new CompletableFuture<>();
    session
        .call(method, request, terms)
        .whenComplete(
            (value, error) -> {
              if (error != null && DibsStatusException.of(error) instanceof NoSessionException) {
                oneByOne(method, request, terms, reply);
              } else {
                Futures.settle(reply, value, error);
              }
            });
    return reply;
  }

  @Override
  public void close() {
    session.close();
    unary.close();
  }

  private <Q extends MessageLite, R> void oneByOne(
      Method<Q, R> method, Q request, Terms terms, CompletableFuture<R> reply) {
    unary
        .call(method, request, terms)
        .whenComplete(
            (value, error) -> {
              if (error == null) unaryUntilNanos = System.nanoTime() + UNARY_FOR.toNanos();
              Futures.settle(reply, value, error);
            });
  }
}
