package dev.dibs;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * One getOrRebuildMany. Each key proceeds separately, as in getOrRebuild; only the first request and the rebuild are
 * shared.
 */
final class ManyCall<V> {
  /** Asks again for one value that the codec cannot decode. */
  interface Again {
    CompletableFuture<Found> ask(Question about, long sinceNanos, RuntimeException error);
  }

  private final Parts parts;
  private final Question about;
  private final Options<V> options;
  private final List<String> keys;
  private final ManyRebuilds<V> rebuilds;
  private final Again again;
  private final long sinceNanos = System.nanoTime();
  private final Signal left = new Signal();
  private final CompletableFuture<Map<String, V>> result = new CompletableFuture<>();
  private final Map<String, CompletableFuture<Found>> seats = new LinkedHashMap<>();
  private final Map<String, V> values = new LinkedHashMap<>();
  private final Map<String, Throwable> errors = new LinkedHashMap<>();
  private Executor steps;

  /** {@code about} describes everything but the key and the body; the keys are distinct. */
  ManyCall(Parts parts, Question about, Options<V> options, List<String> keys, ManyRebuilds<V> rebuilds, Again again) {
    this.parts = parts;
    this.about = about;
    this.options = options;
    this.keys = keys;
    this.rebuilds = rebuilds;
    this.again = again;
  }

  /** Completing the result early ends the call for this caller. It completes on a thread of {@code executor}. */
  CompletableFuture<Map<String, V>> start(Executor executor) {
    steps = executor;
    ManyAnswers answers = new ManyAnswers(parts, about, left);
    List<String> asked = new ArrayList<>();
    for (String key : keys) {
      Found near = near(key);
      if (near == null) asked.add(key);
      seats.put(key, near == null ? alone(of(key), answers.of(key)) : CompletableFuture.completedFuture(near));
    }
    result.whenComplete(
        (done, error) -> {
          left.raise();
          seats.values().forEach(seat -> seat.cancel(false));
        });
    answers.ask(asked, rebuilds::answered);
    whenAll(seats, this::decode);
    return result;
  }

  private Question of(String key) {
    return new Question(
        about.namespace(),
        key,
        options,
        about.onUnavailable(),
        rebuilds.of(key),
        about.trace(),
        about.calledNanos(),
        about.untilNanos());
  }

  private CompletableFuture<Found> alone(Question one, How how) {
    return parts.flights().alone(one.fullKey(), flight -> new FetchLoop(parts, one, flight, how).start());
  }

  private Found near(String key) {
    boolean mayBeNear = parts.near() != null && options.mayJoin();
    return mayBeNear ? Asking.nearHit(parts, about.namespace(), key) : null;
  }

  private void whenAll(Map<String, CompletableFuture<Found>> those, Runnable next) {
    CompletableFuture.allOf(those.values().toArray(CompletableFuture[]::new))
        .handleAsync(
            (done, error) -> {
              try {
                if (!result.isDone()) next.run();
              } catch (Throwable fault) {
                // A bug in this package: no caller may wait forever because of it.
                result.completeExceptionally(fault);
              }
              return null;
            },
            steps)
        // An executor that takes nothing: no caller may wait forever because of it.
        .whenComplete((done, error) -> {
          if (error != null) result.completeExceptionally(Futures.cause(error));
        });
  }

  /** A value that the codec cannot decode counts as a miss, once. */
  private void decode() {
    Map<String, CompletableFuture<Found>> anew = new LinkedHashMap<>();
    seats.forEach(
        (key, seat) ->
            had(
                key,
                seat,
                (found, unreadable) -> {
                  if (found.isOwn() || options.isRefresh()) errors.put(key, unreadable);
                  else anew.put(key, again.ask(of(key), sinceNanos, unreadable));
                }));
    if (anew.isEmpty()) {
      end();
      return;
    }
    result.whenComplete((done, error) -> anew.values().forEach(seat -> seat.cancel(false)));
    whenAll(
        anew,
        () -> {
          anew.forEach((key, seat) -> had(key, seat, (found, unreadable) -> errors.put(key, unreadable)));
          end();
        });
  }

  private interface Unreadable {
    void tell(Found found, RuntimeException error);
  }

  private void had(String key, CompletableFuture<Found> seat, Unreadable unreadable) {
    Found found;
    try {
      found = seat.join();
    } catch (RuntimeException error) {
      errors.put(key, Thrown.inFuture(Thrown.by(Futures.cause(error))));
      return;
    }
    try {
      values.put(key, Values.decoded(options, found));
    } catch (RuntimeException error) {
      unreadable.tell(found, error);
    }
  }

  private void end() {
    if (errors.isEmpty()) result.complete(inOrder(values));
    else result.completeExceptionally(new DibsManyException(inOrder(errors), inOrder(values)));
  }

  private <T> Map<String, T> inOrder(Map<String, T> of) {
    Map<String, T> ordered = new LinkedHashMap<>();
    for (String key : keys) if (of.containsKey(key)) ordered.put(key, of.get(key));
    return ordered;
  }
}
