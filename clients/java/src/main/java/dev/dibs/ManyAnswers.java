package dev.dibs;

import dev.dibs.Transport.Terms;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Intent;
import dev.dibs.v1.Read;
import dev.dibs.v1.Stale;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The first answer for each of many keys. Keys are first requested without a wait, so that all available leases come at
 * once and their keys are rebuilt together. Then one call waits for the keys that other callers rebuild.
 */
final class ManyAnswers {
  /** Per request. */
  private static final int KEYS_MAX = 1_000;

  /** How often a call that breaks off without any answer is attempted: another replica may answer the second time. */
  private static final int TIMES_MAX = 2;

  /** How long keys whose leases were granted at once wait for keys that the service has not decided yet. */
  private static final Duration LOOK_MAX = Duration.ofSeconds(1);

  private static final Duration LOOK_PAUSE = Duration.ofMillis(20);

  private final Parts parts;
  private final Question about;
  private final Signal left;
  private final String requestId = UUID.randomUUID().toString();
  private final Map<String, CompletableFuture<GetOrLockResponse>> open = new ConcurrentHashMap<>();

  /** {@code about} describes everything but the keys; {@code left} is raised when the caller has gone. */
  ManyAnswers(Parts parts, Question about, Signal left) {
    this.parts = parts;
    this.about = about;
    this.left = left;
  }

  /** How a key continues from its answer; to be called for each key before {@link #ask}. */
  How of(String key) {
    CompletableFuture<GetOrLockResponse> answer = new CompletableFuture<>();
    open.put(key, answer);
    return How.withFirst(requestId, answer);
  }

  /**
   * Asks for all keys. {@code onFirst} runs when it is known which keys are available at once, or when a replica takes
   * too long to answer: the leases of the others are held meanwhile. It may run twice.
   */
  void ask(List<String> keys, Runnable onFirst) {
    boolean isWaiting = about.options().maxWait() == null || !about.options().maxWait().isZero();
    if (!isWaiting) {
      all(pieces(keys), piece -> pass(piece, false)).thenRun(onFirst);
      return;
    }
    List<List<String>> pieces = pieces(keys);
    AtomicInteger looks = new AtomicInteger(pieces.size());
    Future<?> tooLong = Threads.after(LOOK_MAX.plus(FetchLoop.WAY), onFirst);
    Runnable looked =
        () -> {
          tooLong.cancel(false);
          onFirst.run();
        };
    if (pieces.isEmpty()) looked.run();
    long lookUntilNanos = System.nanoTime() + Math.min(LOOK_MAX.toNanos(), about.leftNanos());
    for (List<String> piece : pieces) {
      // Each by itself: a look at a replica that hangs would use up the wait of the others' keys.
      look(piece, lookUntilNanos)
          .thenCompose(
              held -> {
                if (looks.decrementAndGet() == 0) looked.run();
                return all(pieces(held), one -> pass(one, false));
              });
    }
  }

  private interface Asking {
    /** Completes with the keys that have no answer yet; never fails. */
    CompletableFuture<List<String>> ask(List<String> keys);
  }

  /** As many as there are replicas to ask and as the contract's bound requires. */
  private List<List<String>> pieces(List<String> keys) {
    List<List<String>> pieces = new ArrayList<>();
    for (List<String> group : parts.transport().groups(keys)) {
      for (int at = 0; at < group.size(); at += KEYS_MAX) {
        pieces.add(group.subList(at, Math.min(group.size(), at + KEYS_MAX)));
      }
    }
    return pieces;
  }

  /** All at once. */
  private static CompletableFuture<Void> all(List<List<String>> pieces, Asking asking) {
    return CompletableFuture.allOf(pieces.stream().map(asking::ask).toArray(CompletableFuture[]::new));
  }

  /**
   * Without a wait, and again while no other caller has the lease of a key: a service under load has not decided about
   * all of a thousand keys at once.
   */
  private CompletableFuture<List<String>> look(List<String> keys, long untilNanos) {
    Pass pass = new Pass(keys, true);
    return pass.start()
        .thenCompose(
            busy -> {
              List<String> undecided = pass.undecided();
              boolean isOver = left.isRaised() || System.nanoTime() - untilNanos >= 0;
              if (undecided.isEmpty() || isOver) return CompletableFuture.completedFuture(busy);
              CompletableFuture<List<String>> later = new CompletableFuture<>();
              Threads.after(
                  LOOK_PAUSE, () -> look(undecided, untilNanos).thenAccept(later::complete));
              List<String> held = busy.stream().filter(key -> !undecided.contains(key)).toList();
              return later.thenApply(
                  still -> {
                    List<String> both = new ArrayList<>(held);
                    both.addAll(still);
                    return both;
                  });
            });
  }

  private CompletableFuture<List<String>> pass(List<String> keys, boolean isLook) {
    return new Pass(keys, isLook).start();
  }

  /** One call, repeated if it breaks off. */
  private final class Pass {
    private final boolean isLook;
    private final Set<String> unanswered;
    private final Map<String, dev.dibs.v1.BusyReason> busy = new LinkedHashMap<>();
    private final Map<String, NearCache.Asking> asking = new ConcurrentHashMap<>();
    private final CompletableFuture<List<String>> end = new CompletableFuture<>();
    private int brokenOff;

    Pass(List<String> keys, boolean isLook) {
      this.isLook = isLook;
      this.unanswered = new LinkedHashSet<>(keys);
    }

    /** Completes with the keys that were busy, which are asked again with a wait. */
    CompletableFuture<List<String>> start() {
      ask();
      return end;
    }

    synchronized List<String> undecided() {
      return busy.keySet().stream()
          .filter(key -> busy.get(key) == dev.dibs.v1.BusyReason.BUSY_REASON_UNDECIDED)
          .toList();
    }

    private void ask() {
      Duration wait = Duration.ofNanos(Math.max(0, about.leftNanos()));
      Duration answerWithin = wait.compareTo(FetchLoop.WAIT_MAX) > 0 ? FetchLoop.WAIT_MAX : wait;
      Terms terms =
          new Terms(answerWithin.plus(FetchLoop.WAY), about.trace().traceparent(), left, this::leaves);
      parts
          .transport()
          .callMany(request(wait), terms, this::answered)
          .whenComplete((done, error) -> ended(error == null ? null : DibsStatusException.of(error)));
    }

    private GetOrLockManyRequest request(Duration wait) {
      Options<?> options = about.options();
      GetOrLockManyRequest.Builder request =
          GetOrLockManyRequest.newBuilder()
              .setNamespace(about.namespace())
              .addAllKeys(left())
              .setRequestId(requestId)
              .setHolder(parts.holder())
              .setIntent(options.isRefresh() ? Intent.INTENT_REFRESH : Intent.INTENT_REBUILD);
      boolean isSaid = options.maxWait() != null && wait.compareTo(FetchLoop.WAIT_MAX) <= 0;
      if (isLook) request.setWaitMs(0);
      else if (isSaid) request.setWaitMs(Bounds.ms(wait));
      if (options.lease() != null) request.setLeaseMs(Bounds.ms(options.lease()));
      if (options.stale() != null) request.setStale(Stale.valueOf("STALE_" + options.stale()));
      if (options.read() != null) request.setRead(Read.valueOf("READ_" + options.read()));
      return request.build();
    }

    private synchronized List<String> left() {
      return List.copyOf(unanswered);
    }

    private void leaves(Watch watch) {
      if (watch == null) return;
      for (String key : left()) {
        NearCache.Asking one = parts.near().sending(FullKey.of(about.namespace(), key), watch);
        if (one != null) asking.put(key, one);
      }
    }

    private void answered(GetOrLockManyResponse answer) {
      String key = answer.getKey();
      GetOrLockResponse response = answer.getResponse();
      keep(key, answer.hasResponse() ? response : null);
      synchronized (this) {
        if (!unanswered.remove(key)) return;
        brokenOff = 0;
        if (isLook && response.hasBusy()) {
          busy.put(key, response.getBusy().getReason());
          return;
        }
      }
      CompletableFuture<GetOrLockResponse> waiting = open.remove(key);
      if (waiting == null) return;
      if (answer.hasError()) waiting.completeExceptionally(DibsStatusException.of(answer.getError()));
      else waiting.complete(response);
    }

    private void keep(String key, GetOrLockResponse response) {
      NearCache.Asking asked = asking.remove(key);
      if (parts.near() != null) parts.near().answered(FullKey.of(about.namespace(), key), asked, response);
    }

    private void ended(DibsStatusException error) {
      asking.keySet().forEach(key -> keep(key, null));
      List<String> failed = left();
      brokenOff += 1;
      boolean isBrokenOff = error != null && error.isUnreachable() && error.code() == Status.Code.UNAVAILABLE;
      if (isBrokenOff && !failed.isEmpty() && brokenOff < TIMES_MAX && !left.isRaised()) {
        ask();
        return;
      }
      DibsStatusException why =
          error == null ? new DibsStatusException(Status.Code.INTERNAL, "the service has left out this key") : error;
      for (String key : failed) {
        CompletableFuture<GetOrLockResponse> waiting = open.remove(key);
        if (waiting != null) waiting.completeExceptionally(why);
      }
      synchronized (this) {
        end.complete(List.copyOf(busy.keySet()));
      }
    }
  }
}
