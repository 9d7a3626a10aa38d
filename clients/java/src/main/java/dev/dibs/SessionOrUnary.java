package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** Uses sessions if possible, and unary calls if something in between breaks streams. */
final class SessionOrUnary implements Transport {
  /** How soon a session is tried again after it could not be opened and unary calls worked; later delays double. */
  private static final Duration PAUSE_MIN = Duration.ofSeconds(1);

  private static final Duration PAUSE_MAX = Duration.ofSeconds(60);

  private final SessionPool session;
  private final Transport unary;
  private volatile boolean oneByOne;
  private volatile boolean closed;

  SessionOrUnary(SessionPool session, Transport unary) {
    this.session = session;
    this.unary = unary;
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    // For a request beyond a session's message limit, only that call is refused, not the stream with all others.
    boolean isTooLarge = request.getSerializedSize() > SessionStream.REQUEST_BYTES_MAX;
    if (isTooLarge || oneByOne) return unary.call(method, request, terms);
    CompletableFuture<R> reply = new CompletableFuture<>();
    session
        .call(method, request, terms)
        .whenComplete(
            (value, error) -> {
              if (error != null && DibsStatusException.of(error) instanceof NoSessionException none) {
                byItself(unary.call(method, request, terms), reply, none);
              } else {
                Futures.settle(reply, value, error);
              }
            });
    return reply;
  }

  @Override
  public CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer) {
    boolean isTooLarge = request.getSerializedSize() > SessionStream.REQUEST_BYTES_MAX;
    if (isTooLarge || oneByOne) return unary.callMany(request, terms, onAnswer);
    CompletableFuture<Void> end = new CompletableFuture<>();
    Set<String> answered = ConcurrentHashMap.newKeySet();
    Consumer<GetOrLockManyResponse> noted =
        answer -> {
          answered.add(answer.getKey());
          onAnswer.accept(answer);
        };
    session
        .callMany(request, terms, noted)
        .whenComplete(
            (done, error) -> {
              if (error != null && DibsStatusException.of(error) instanceof NoSessionException none) {
                GetOrLockManyRequest rest = without(answered, request);
                if (rest.getKeysCount() == 0 && !answered.isEmpty()) end.complete(null);
                else byItself(unary.callMany(rest, terms, onAnswer), end, none);
              } else {
                Futures.settle(end, done, error);
              }
            });
    return end;
  }

  /** A key with an answer could get a lease again, which no caller waits for. */
  private static GetOrLockManyRequest without(Set<String> answered, GetOrLockManyRequest request) {
    List<String> keys = request.getKeysList().stream().filter(key -> !answered.contains(key)).toList();
    return request.toBuilder().clearKeys().addAllKeys(keys).build();
  }

  @Override
  public List<List<String>> groups(List<String> keys) {
    return oneByOne ? unary.groups(keys) : session.groups(keys);
  }

  @Override
  public void close() {
    closed = true;
    session.close();
    unary.close();
  }

  private <R> void byItself(CompletableFuture<R> call, CompletableFuture<R> reply, NoSessionException none) {
    call.whenComplete(
        (value, error) -> {
          // A session refused for its credentials does not mean that another could not be opened.
          boolean isRefused = none.code() == Status.Code.UNAUTHENTICATED;
          if (error == null && !isRefused) withoutSession(none);
          Futures.settle(reply, value, error);
        });
  }

  private synchronized void withoutSession(NoSessionException none) {
    if (oneByOne) return;
    oneByOne = true;
    tryAgain(pauseAfter(none, PAUSE_MIN));
  }

  /** In the background; calls do not wait for it. */
  private void tryAgain(Duration pause) {
    Threads.after(
        pause,
        () -> {
          if (closed) return;
          session
              .open()
              .whenComplete(
                  (opened, error) -> {
                    if (error == null) oneByOne = false;
                    else tryAgain(pauseAfter(DibsStatusException.of(error), pause.multipliedBy(2)));
                  });
        });
  }

  /** A service that has no sessions will not have any in a second either. */
  private static Duration pauseAfter(DibsStatusException error, Duration pause) {
    boolean isLong = error.code() == Status.Code.UNIMPLEMENTED || pause.compareTo(PAUSE_MAX) > 0;
    return isLong ? PAUSE_MAX : pause;
  }
}
