package dev.dibs;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * One getOrRebuildMany. Each key goes its own way, as one of getOrRebuild: only its first question and its rebuild are
 * those of all.
 */
final class ManyCall<V> {
  /** Asks for one value again that the codec cannot read. */
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

  /** {@code about} says all but the key and the body; the keys are distinct. */
  ManyCall(Parts parts, Question about, Options<V> options, List<String> keys, ManyRebuilds<V> rebuilds, Again again) {
    this.parts = parts;
    this.about = about;
    this.options = options;
    this.keys = keys;
    this.rebuilds = rebuilds;
    this.again = again;
  }

  /** Completing the result before its time takes the caller out. It completes on a thread of the client's executor. */
  CompletableFuture<Map<String, V>> start() {
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
        about.namespace(), key, options, about.onUnavailable(), rebuilds.of(key), about.trace(), about.untilNanos());
  }

  private CompletableFuture<Found> alone(Question one, How how) {
    return parts.flights().alone(one.fullKey(), flight -> new FetchLoop(parts, one, flight, how).start());
  }

  private Found near(String key) {
    if (parts.near() == null || !options.mayJoin()) return null;
    Found found = parts.near().get(FullKey.of(about.namespace(), key));
    if (found != null) parts.hooks().tell(hooks -> hooks.onHit(about.namespace(), key, Freshness.FRESH));
    return found;
  }

  private void whenAll(Map<String, CompletableFuture<Found>> those, Runnable next) {
    CompletableFuture.allOf(those.values().toArray(CompletableFuture[]::new))
        .handleAsync(
            (done, error) -> {
              try {
                if (!result.isDone()) next.run();
              } catch (Throwable fault) {
                // Of this package's own: no caller must wait forever because of it.
                result.completeExceptionally(fault);
              }
              return null;
            },
            parts.executor());
  }

  /** What the codec cannot read is a miss, once. */
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
