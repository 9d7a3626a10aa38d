package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.Invalidated;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionHello;
import dev.dibs.v1.SessionReply;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** All calls on one stream. A replica that drains is left for new calls, and still answers the open ones. */
final class SessionTransport implements Transport, SessionStream.Owner {
  private final Link link;
  private final Duration connectTimeout;
  private final String holder;
  private final HeldLeases held;

  private final Changes changes;

  private SessionStream live;
  private String resumeToken = "";
  private boolean closed;

  SessionTransport(Link link, Duration connectTimeout, String holder, HeldLeases held, Changes changes) {
    this.link = link;
    this.connectTimeout = connectTimeout;
    this.holder = holder;
    this.held = held;
    this.changes = changes;
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    long deadlineMs = Math.max(1, terms.deadline().toMillis());
    SessionCall.Builder call =
        SessionCall.newBuilder().setDeadlineMs(deadlineMs).setTraceparent(terms.traceparent());
    method.put().accept(call, request);
    for (; ; ) {
      SessionStream stream = live();
      if (stream == null) return CompletableFuture.failedFuture(DibsStatusException.cancelled("this client is closed"));
      CompletableFuture<SessionReply> reply = stream.ask(call, terms);
      // It may have ended since; the next one takes the call before it can end.
      if (reply == null) {
        if (forget(stream)) changes.everything();
        continue;
      }
      stream.start();
      stream.flush();
      return reply.thenApply(answer -> only(method, answer));
    }
  }

  /** Opens a session without a call; fails if there is none to be had. */
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
    // Open calls still end.
    if (last != null) last.leave();
  }

  @Override
  public synchronized void welcomed(SessionStream stream, String token) {
    if (live != stream) return;
    resumeToken = token;
    changes.welcome();
  }

  @Override
  public void leaseLost(String token) {
    held.lost(token);
  }

  @Override
  public void draining(SessionStream stream) {
    synchronized (this) {
      forget(stream);
      resumeToken = "";
    }
    changes.everything();
    stream.leave();
  }

  @Override
  public void changed(Invalidated what) {
    changes.heard(what);
  }

  @Override
  public synchronized void beat(SessionStream stream) {
    if (live == stream) changes.beat();
  }

  @Override
  public void broken(SessionStream stream) {
    // One that was left before is no loss: what changes is heard on the next one.
    if (forget(stream)) changes.everything();
  }

  /** Whether new calls went there until now. */
  private synchronized boolean forget(SessionStream stream) {
    if (live != stream) return false;
    live = null;
    return true;
  }

  /** The stream for new calls, made if there is none; null after the end. */
  private synchronized SessionStream live() {
    if (live == null && !closed) {
      SessionHello hello =
          SessionHello.newBuilder()
              .setResumeToken(resumeToken)
              .setHolder(holder)
              .addAllWatchedNamespaces(changes.watched())
              .build();
      live = new SessionStream(link, connectTimeout, hello, this);
    }
    return live;
  }

  private static <R> R only(Method<?, R> method, SessionReply answer) {
    if (answer.getResponseCase() == method.kind()) return method.get().apply(answer);
    throw new DibsStatusException(Status.Code.INTERNAL, "an answer to %s of another kind".formatted(method.kind()));
  }
}
