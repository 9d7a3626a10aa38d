package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.Invalidated;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionHello;
import dev.dibs.v1.SessionReply;
import dev.dibs.v1.SessionReply.ResponseCase;
import io.grpc.CallOptions;
import io.grpc.Status;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * All calls on one stream, and on the next one when that has ended. A draining replica gets no new calls, and still
 * answers the open ones.
 */
final class SessionTransport implements Transport, SessionOwner {
  /** What all sessions of a client share. */
  record Shared(Link link, Duration connectTimeout, String holder, HeldLeases held, Changes changes) {}

  /** What a session reports. Must not block. */
  interface Hears extends AddressBalancer.Hears {
    /** A session takes no more calls. */
    void ended();
  }

  private final Shared shared;
  private final Hears hears;
  private final Changes changes;

  /** Null for any. */
  private SocketAddress address;

  /** Read without the lock, to choose between sessions. */
  private volatile SessionStream live;

  private String resumeToken = "";
  private boolean closed;

  /** {@code address} is the only one to use; null for any. */
  SessionTransport(Shared shared, SocketAddress address, Hears hears) {
    this.shared = shared;
    this.address = address;
    this.hears = hears;
    this.changes = shared.changes();
  }

  /** The address of its stream; null if there is none, or it is not known yet. */
  SocketAddress at() {
    SessionStream stream = live;
    return stream == null ? null : stream.address();
  }

  /** From the next stream on, uses only this address. */
  synchronized void stayAt(SocketAddress only) {
    address = only;
  }

  /** Whether the stream is open or being opened. */
  boolean hasStream() {
    return live != null;
  }

  /** Whether it takes calls at once. */
  boolean stands() {
    SessionStream stream = live;
    return stream != null && stream.isConfirmed();
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    SessionCall.Builder call = begun(terms);
    method.put().accept(call, request);
    return ask(call, terms, more -> {}).thenApply(answer -> only(method.kind(), method.get(), answer));
  }

  @Override
  public CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer) {
    Consumer<SessionReply> onReply =
        reply -> onAnswer.accept(only(ResponseCase.GET_OR_LOCK_MANY, SessionReply::getGetOrLockMany, reply));
    return ask(begun(terms).setGetOrLockMany(request), terms, onReply).thenAccept(onReply);
  }

  private static SessionCall.Builder begun(Terms terms) {
    long deadlineMs = Math.max(1, terms.deadline().toMillis());
    return SessionCall.newBuilder().setDeadlineMs(deadlineMs).setTraceparent(terms.traceparent());
  }

  /** Completes with the last reply; {@code more} gets those before it. */
  private CompletableFuture<SessionReply> ask(SessionCall.Builder call, Terms terms, Consumer<SessionReply> more) {
    for (; ; ) {
      SessionStream stream = live();
      if (stream == null) return CompletableFuture.failedFuture(DibsStatusException.cancelled("this client is closed"));
      CompletableFuture<SessionReply> reply = stream.ask(call, terms, more);
      // The stream may have ended since; the next one takes the call before it can end.
      if (reply == null) {
        if (forget(stream)) ended(stream);
        continue;
      }
      stream.start();
      stream.flush();
      return reply;
    }
  }

  /** Opens a session without a call; fails if none can be opened. */
  CompletableFuture<Void> open() {
    SessionStream stream = live();
    if (stream == null) return CompletableFuture.failedFuture(DibsStatusException.cancelled("this client is closed"));
    stream.start();
    return stream.confirmation();
  }

  @Override
  public void close() {
    SessionStream last;
    synchronized (this) {
      closed = true;
      last = live;
      live = null;
    }
    // Open calls still complete.
    if (last != null) last.leave();
  }

  @Override
  public synchronized void welcomed(SessionStream stream, String token) {
    if (live != stream) return;
    resumeToken = token;
    changes.welcome(stream.watch());
  }

  @Override
  public void leaseLost(String token) {
    shared.held().lost(token);
  }

  @Override
  public void unwanted(ReleaseRequest lease) {
    // Nothing waits for the answer: without one, the lease expires.
    call(Method.RELEASE, lease, Terms.within(DEADLINE, ""));
  }

  @Override
  public void draining(SessionStream stream) {
    boolean isLive;
    synchronized (this) {
      isLive = forget(stream);
      if (isLive) resumeToken = "";
    }
    if (isLive) ended(stream);
    stream.leave();
  }

  @Override
  public void changed(Invalidated what) {
    changes.heard(what);
  }

  @Override
  public synchronized void beat(SessionStream stream) {
    if (live == stream) changes.beat(stream.watch());
  }

  @Override
  public void broken(SessionStream stream) {
    // If it was left before, nothing is lost: changes arrive on the next one.
    if (forget(stream)) ended(stream);
  }

  private void ended(SessionStream stream) {
    changes.ended(stream.watch());
    hears.ended();
  }

  /** Whether new calls went there until now. */
  private synchronized boolean forget(SessionStream stream) {
    if (live != stream) return false;
    live = null;
    return true;
  }

  /** The stream for new calls, created if there is none; null after the end. */
  private synchronized SessionStream live() {
    if (live == null && !closed) {
      SessionHello hello =
          SessionHello.newBuilder()
              .setResumeToken(resumeToken)
              .setHolder(shared.holder())
              .addAllWatchedNamespaces(changes.watched())
              .build();
      live =
          new SessionStream(
              shared.link(), shared.connectTimeout(), this::addressed, hello, changes.watch(), this);
    }
    return live;
  }

  private CallOptions addressed(CallOptions options) {
    CallOptions hearing = options.withOption(AddressBalancer.CONNECTED, hears);
    return address == null ? hearing : hearing.withOption(AddressBalancer.TO, address);
  }

  private static <R> R only(ResponseCase kind, Function<SessionReply, R> get, SessionReply answer) {
    if (answer.getResponseCase() == kind) return get.apply(answer);
    throw new DibsStatusException(Status.Code.INTERNAL, "an unexpected kind of answer to %s".formatted(kind));
  }
}
