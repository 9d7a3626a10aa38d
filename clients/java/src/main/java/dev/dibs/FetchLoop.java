package dev.dibs;

import static dev.dibs.v1.Freshness.FRESHNESS_FRESH;
import static dev.dibs.v1.Freshness.FRESHNESS_STALE;

import dev.dibs.LeasedRebuild.LeaseLostException;
import dev.dibs.Options.Revalidate;
import dev.dibs.Transport.Terms;
import dev.dibs.v1.Busy;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Lease;
import io.grpc.Status;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;

/** Repeats GetOrLock until there is a value, a failure, or no time left; rebuilds if a lease is granted. */
final class FetchLoop {
  /** A shorter wait is only the network round trip. */
  private static final Duration WAITED_MIN = Duration.ofMillis(10);

  /** The minimum between two requests, even if the service says to retry sooner. */
  private static final Duration PAUSE_MIN = Duration.ofMillis(10);

  /** Time for the round trip, in addition to the wait. */
  static final Duration WAY = Duration.ofSeconds(2);

  /** The service's default maximum. A longer wait is split into pieces. */
  static final Duration WAIT_MAX = Duration.ofSeconds(30);

  private final Parts parts;
  private final Question about;
  private final Flight<Found> flight;

  private final How how;

  /** Null once used, and if there is none. */
  private CompletableFuture<GetOrLockResponse> first;

  /** The same for every attempt, until a lease that it was granted is over. */
  private volatile String requestId;

  private int brokenOff;

  /** Null if the answer is not kept. */
  private volatile NearCache.Asking asking;

  /** The service's maximum wait is shorter than this caller's. */
  private boolean isWaitRefused;

  /** The last request was for a part of the caller's wait: the service decides its length. */
  private boolean inPieces;

  FetchLoop(Parts parts, Question about, Flight<Found> flight) {
    this(parts, about, flight, How.rebuilding());
  }

  FetchLoop(Parts parts, Question about, Flight<Found> flight, How how) {
    this.parts = parts;
    this.about = about;
    this.flight = flight;
    this.how = how;
    this.requestId = how.requestId();
    this.first = how.first();
    // The first answer was already retried if that was useful.
    this.brokenOff = first == null ? 0 : Availability.BROKEN_OFF_MAX - 1;
  }

  void start() {
    ask();
  }

  private void ask() {
    if (flight.audience().left().isRaised()) {
      fail(DibsStatusException.cancelled("the caller has gone"));
      return;
    }
    long askedNanos = System.nanoTime();
    Duration left = left();
    inPieces = isWaitRefused || left.compareTo(WAIT_MAX) > 0;
    if (left.compareTo(WAIT_MAX) > 0) left = WAIT_MAX;
    CompletableFuture<GetOrLockResponse> answer = first;
    boolean isKept = answer != null;
    first = null;
    if (answer == null) {
      // A caller that has left must not stay in the service's queue or get the lease.
      Terms terms = new Terms(left.plus(WAY), about.trace().traceparent(), flight.audience().left(), this::leaves);
      // If the caller sets no wait, the deadline and the service's own maximum limit it.
      Duration wait = isWaitSaid() ? left : null;
      GetOrLockRequest request = how.request(about, parts.holder(), requestId, wait);
      answer = parts.transport().call(Method.GET_OR_LOCK, request, terms);
    }
    answer.whenComplete(
        (response, error) -> {
          try {
            if (!isKept) keep(error == null ? response : null);
            if (error != null) refused(DibsStatusException.of(error));
            else answered(response, askedNanos);
          } catch (Throwable fault) {
            // A bug in this package: no caller may wait forever because of it.
            fail(fault);
          }
        });
  }

  /** As another request, which does not get the lease back that this one gave up. */
  private void askAnew() {
    requestId = UUID.randomUUID().toString();
    ask();
  }

  private void leaves(Watch watch) {
    NearCache near = parts.near();
    boolean isWatched = watch != null && near.isWatched(about.fullKey());
    flight.sending(isWatched);
    asking = isWatched ? near.sending(about.fullKey(), watch) : null;
  }

  private void keep(GetOrLockResponse response) {
    if (parts.near() != null) parts.near().answered(about.fullKey(), asking, response);
    asking = null;
  }

  private void answered(GetOrLockResponse response, long askedNanos) {
    Duration waited = Duration.ofNanos(System.nanoTime() - askedNanos);
    brokenOff = 0;
    parts.availability().answered();
    switch (response.getOutcomeCase()) {
      case HIT -> {
        if (waited.compareTo(WAITED_MIN) >= 0) tellWaited(waited, true);
        served(response.getHit());
      }
      case LEASE -> {
        if (how.onLease() == null) underLease(response.getLease(), askedNanos);
        else write(response.getLease());
      }
      case FAILED -> {
        tellWaited(waited, true);
        Duration retryAfter = Duration.ofMillis(response.getFailed().getRetryAfterMs());
        fail(new RebuildFailedException(response.getFailed().getMessage(), retryAfter));
      }
      // An outcome of a later version of the service: to this client it is no answer.
      default -> {
        tellWaited(waited, false);
        busy(response.getBusy(), waited);
      }
    }
  }

  private void refused(DibsStatusException error) {
    if (error.isAnswer()) parts.availability().answered();
    if (!error.isUnreachable()) {
      boolean isTooLong =
          error.code() == Status.Code.INVALID_ARGUMENT && error.getMessage().startsWith("wait_ms:") && !inPieces;
      if (isTooLong) {
        isWaitRefused = true;
        ask();
      } else {
        waitToRetry(error);
      }
      return;
    }
    brokenOff += 1;
    if (error.code() == Status.Code.UNAVAILABLE && brokenOff < Availability.BROKEN_OFF_MAX) ask();
    else withoutService(error);
  }

  private void busy(Busy busy, Duration waited) {
    BusyReason reason = Words.of(busy.getReason(), "BUSY_REASON_", BusyReason.UNSPECIFIED);
    Duration retryAfter = Duration.ofMillis(busy.getRetryAfterMs());
    DibsBusyException error = new DibsBusyException(reason, retryAfter, Duration.ofMillis(busy.getHolderAgeMs()));
    // Waiting longer makes no sense if the rebuild takes longer than a wait that was sent.
    boolean endsHere = reason == BusyReason.NO_VALUE || reason == BusyReason.DEADLINE_TOO_SHORT && isWaitSaid();
    boolean isPiece = inPieces && reason == BusyReason.WAIT_ENDED && left().compareTo(PAUSE_MIN) > 0;
    if (endsHere) fail(error);
    else if (!isPiece) waitToRetry(error);
    else if (waited.compareTo(PAUSE_MIN) < 0) after(PAUSE_MIN);
    else ask();
  }

  /** Asks again after the delay that the service gave; fails if it gave none or the caller's time is over by then. */
  private void waitToRetry(DibsException error) {
    double jitter = ThreadLocalRandom.current().nextDouble(1, 2);
    Duration least = Duration.ofNanos(Math.round(PAUSE_MIN.toNanos() * jitter));
    Duration asked = error.retryAfter().orElse(null);
    Duration pause = asked == null || asked.compareTo(least) < 0 ? least : asked;
    if (asked == null || pause.compareTo(left()) >= 0) fail(error);
    else after(pause);
  }

  private void after(Duration pause) {
    Future<?> timer = Threads.after(pause, this::ask);
    // When all callers have left, the pause ends; only one of the two events asks again.
    flight.audience().left().onRaise(() -> {
      if (timer.cancel(false)) ask();
    });
  }

  private void underLease(Lease lease, long askedNanos) {
    if (mayGoOnBehind(lease)) {
      behind(lease, askedNanos);
      return;
    }
    boolean mayBeReplaced = how.isAnew() && lease.getPrevious().getFreshness() == FRESHNESS_FRESH;
    if (mayBeReplaced) ifReadable(lease.getPrevious(), () -> replaced(lease), () -> rebuild(lease, askedNanos));
    else rebuild(lease, askedNanos);
  }

  /** Another process has replaced the value meanwhile: one more rebuild would bring nothing newer. */
  private void replaced(Lease lease) {
    Unused.giveBack(parts, about, lease);
    served(lease.getPrevious());
  }

  private void rebuild(Lease lease, long askedNanos) {
    flight.rebuilding();
    new LeasedRebuild(parts, about, lease, askedNanos, about.trace(), flight.audience())
        .start()
        .whenComplete(
            (found, error) -> {
              if (!(error instanceof LeaseLostException)) rebuilt(lease, found, error);
              // A key that is invalidated faster than it is rebuilt must not hold its caller forever.
              else if (about.leftNanos() > 0) askAnew();
              else if (error.getCause() != null) fail(error.getCause());
              else fail(new DibsBusyException(BusyReason.WAIT_ENDED, PAUSE_MIN, Duration.ZERO));
            });
  }

  private void write(Lease lease) {
    flight.rebuilding();
    how.onLease()
        .under(lease)
        .whenComplete((done, error) -> flight.land(error == null ? new Found(null, true) : null, error));
  }

  private void rebuilt(Lease lease, Found found, Throwable error) {
    boolean isStaleEnough = Thrown.by(error) instanceof Exception && about.options().isStaleIfError() && lease.hasPrevious();
    if (!isStaleEnough || flight.audience().left().isRaised()) {
      flight.land(found, error);
      return;
    }
    Runnable old =
        () -> {
          tellBackground(error);
          served(lease.getPrevious());
        };
    // An error of the codec would hide that of the rebuild.
    if (how.isAnew()) ifReadable(lease.getPrevious(), old, () -> flight.land(null, error));
    else old.run();
  }

  /** What follows depends on whether the caller's codec can read it: it could not read an earlier value of this key. */
  private void ifReadable(Hit hit, Runnable then, Runnable otherwise) {
    Values.isReadable(about.options(), hit, parts.executor(), left().plus(WAY))
        .thenAccept(isReadable -> (isReadable ? then : otherwise).run())
        .whenComplete((done, fault) -> {
          if (fault != null) fail(Futures.cause(fault));
        });
  }

  /** Background work does not delay a caller, and ends by itself. */
  private void behind(Lease lease, long askedNanos) {
    var work = parts.background().begin();
    new LeasedRebuild(parts, about, lease, askedNanos, about.trace().alone(), new Audience())
        .start()
        .whenComplete(
            (found, error) -> {
              if (error != null && !(error instanceof LeaseLostException)) tellBackground(error);
              work.complete(null);
            });
    served(lease.getPrevious());
  }

  /** Whether there is a value to return meanwhile and the caller does not insist on the newest. */
  private boolean mayGoOnBehind(Lease lease) {
    Options<?> options = about.options();
    return lease.hasPrevious() && !options.isRefresh() && options.revalidate() == Revalidate.BACKGROUND;
  }

  private void served(Hit hit) {
    boolean isStale = hit.getFreshness() == FRESHNESS_STALE;
    Freshness freshness = isStale ? Freshness.STALE : Freshness.FRESH;
    tellHit(freshness, HitSource.SERVICE);
    flight.land(new Found(hit.hasValue() ? hit.getValue() : null, false, freshness), null);
  }

  private void tellHit(Freshness freshness, HitSource source) {
    parts.metrics().hit(about.namespace(), HitCounts.Source.valueOf(source.name()), freshness);
    parts.hooks().tell(hooks -> hooks.onHit(about.namespace(), about.key(), freshness, source));
  }

  private void fail(Throwable error) {
    flight.land(null, error);
  }

  private void tellWaited(Duration waited, boolean answered) {
    // A read that finds nothing at once has not waited for anyone.
    if (how.isRead() && (about.options().maxWait().isZero() || waited.compareTo(WAITED_MIN) < 0)) return;
    parts.metrics().waited(about.namespace(), waited);
    parts.hooks().tell(hooks -> hooks.onWait(about.namespace(), about.key(), waited, answered));
  }

  private void tellBackground(Throwable error) {
    Throwable thrown = Thrown.by(error);
    parts.hooks().tell(hooks -> hooks.onBackgroundError(about.namespace(), about.key(), thrown));
  }

  /** The service cannot be reached: one rebuild at a time in this process, or the error. */
  private void withoutService(DibsStatusException cause) {
    parts.availability().lost(cause);
    // What this process made since is newer than what it has kept from before.
    boolean hasNewer = about.onUnavailable() != OnUnavailable.FAIL && parts.local().hasResult(about);
    Found old = hasNewer ? null : leftInNearCache();
    if (old != null) {
      tellHit(Freshness.STALE, HitSource.NEAR);
      flight.land(old, null);
      return;
    }
    if (about.onUnavailable() == OnUnavailable.FAIL) {
      fail(cause);
      return;
    }
    CompletableFuture<Found> seat = parts.local().get(about, cause);
    if (!seat.isDone()) flight.rebuilding();
    Runnable stay = flight.audience().left().onRaise(() -> seat.cancel(false));
    seat.whenComplete(
        (found, error) -> {
          stay.run();
          flight.land(found, error);
        });
  }

  private Found leftInNearCache() {
    Options<?> options = about.options();
    boolean isOldEnough = options.mayJoin() && options.stale() != Options.Stale.FORBID;
    return parts.near() != null && isOldEnough ? parts.near().left(about.fullKey()) : null;
  }

  private boolean isWaitSaid() {
    return about.options().maxWait() != null && !inPieces;
  }

  private Duration left() {
    return Duration.ofNanos(Math.max(0, about.leftNanos()));
  }
}
