package dev.dibs;

import dev.dibs.RunningRebuild.Ending;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** The course of one call: it joins work of this process, or asks the service. */
final class Caller {
  /** A shorter remaining wait counts as over. */
  private static final long OWN_TIME_NANOS_MIN = TimeUnit.MILLISECONDS.toNanos(20);

  private final Parts parts;
  private final Question about;
  private final CompletableFuture<Found> result = new CompletableFuture<>();

  /** Whether this caller began the flight. */
  private boolean isOwn;

  Caller(Parts parts, Question about) {
    this.parts = parts;
    this.about = about;
  }

  /** Completing the result early ends the call for this caller. */
  CompletableFuture<Found> start() {
    attempt();
    return result;
  }

  private void attempt() {
    if (joinRunning()) return;
    Options<?> options = about.options();
    CompletableFuture<Found> seat =
        options.mayJoin()
            ? parts.flights().join(id(), about.fullKey(), about.untilNanos(), this::fetch)
            : parts.flights().alone(about.fullKey(), this::fetch);
    seat.whenComplete(
        (found, error) -> {
          Duration pause = isOwn || result.isDone() ? null : pauseBeforeOwn(Futures.cause(error), about);
          if (pause == null) settle(found, error);
          else after(pause, result, this::attempt);
        });
    result.whenComplete((found, error) -> seat.cancel(false));
  }

  private void settle(Found found, Throwable error) {
    boolean hasJoined = error == null && !isOwn;
    if (hasJoined) parts.metrics().hit(about.namespace(), HitCounts.Source.JOINED, found.freshness());
    Futures.settle(result, found, error);
  }

  /**
   * When a caller that joined asks for itself, because only another caller's time was too short. Null if the error is
   * for all callers, or this one has no time left either.
   */
  static Duration pauseBeforeOwn(Throwable error, Question about) {
    Duration pause = error instanceof DibsException refusal ? pauseAfter(refusal) : null;
    return pause == null || about.leftNanos() - pause.toNanos() <= OWN_TIME_NANOS_MIN ? null : pause;
  }

  private static Duration pauseAfter(DibsException error) {
    if (error instanceof DibsStatusException) return error.retryAfter().orElse(null);
    if (!(error instanceof DibsBusyException busy)) return null;
    return switch (busy.reason()) {
      case WAIT_ENDED -> Duration.ZERO;
      case NO_VALUE -> null;
      default -> error.retryAfter().orElse(null);
    };
  }

  /** Unless the result is there before. */
  static void after(Duration pause, CompletableFuture<?> result, Runnable again) {
    if (pause.isZero()) {
      again.run();
      return;
    }
    Future<?> timer = Threads.after(pause, again);
    result.whenComplete((found, error) -> timer.cancel(false));
  }

  private void fetch(Flight<Found> flight) {
    isOwn = true;
    new FetchLoop(parts, about, flight).start();
  }

  /** Calls with equal options get the same answer, so one of them asks for all. */
  private Object id() {
    Options<?> options = about.options();
    return Arrays.asList(
        about.fullKey(),
        options.codec(),
        options.stale(),
        options.revalidate(),
        options.isStaleIfError(),
        options.maxWait(),
        about.onUnavailable());
  }

  private boolean joinRunning() {
    RunningRebuild running = parts.running().of(about.fullKey());
    CompletableFuture<Ending> place = new CompletableFuture<>();
    if (running == null || !running.join(about.options(), place::complete)) return false;
    place.whenComplete(
        (ending, error) -> {
          running.leave();
          if (error != null) Futures.settle(result, null, error);
          else ended(ending);
        });
    Flight.bound(place, about.untilNanos(), running.sinceNanos());
    result.whenComplete((found, error) -> place.cancel(false));
    return true;
  }

  private void ended(Ending ending) {
    if (result.isDone()) return;
    if (ending.counts()) {
      Found theirs = ending.found() == null ? null : new Found(ending.found().bytes(), false);
      settle(theirs, ending.error());
    } else if (about.leftNanos() > 0) {
      attempt();
    } else {
      result.completeExceptionally(Flight.waitEnded(System.nanoTime()));
    }
  }
}
