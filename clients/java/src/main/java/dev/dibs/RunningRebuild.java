package dev.dibs;

import dev.dibs.v1.Lease;
import dev.dibs.v1.LeaseReason;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * A rebuild that runs in this process under a lease, as callers see it that come after the lease. They may have read
 * nothing older than their own call, so that its result is theirs only where the service says that it still counts.
 */
final class RunningRebuild {
  /**
   * What a rebuild came to for callers that joined it.
   *
   * @param counts false where they have to ask the service
   * @param error null where there is a value
   */
  record Ending(boolean counts, Found found, Throwable error) {
    static final Ending ASK_AGAIN = new Ending(false, null, null);
  }

  private final FullKey key;
  private final Options.Stale stale;
  private final boolean hasPrevious;
  private final boolean isRefresh;
  private final Audience audience;
  private final long sinceNanos = System.nanoTime();
  private List<Consumer<Ending>> joined = new ArrayList<>(0);
  private boolean closed;
  private Ending ending;

  RunningRebuild(Question about, Lease lease, Audience audience) {
    this.key = about.fullKey();
    this.stale = about.options().stale();
    this.hasPrevious = lease.hasPrevious();
    this.isRefresh =
        lease.getReason() == LeaseReason.LEASE_REASON_REFRESH
            || lease.getReason() == LeaseReason.LEASE_REASON_EARLY_REFRESH;
    this.audience = audience;
  }

  FullKey key() {
    return key;
  }

  long sinceNanos() {
    return sinceNanos;
  }

  /** Joins for a caller with these options; false where it has to ask the service. */
  boolean join(Options<?> options, Consumer<Ending> onEnd) {
    if (!isFor(options)) return false;
    synchronized (this) {
      if (closed || !audience.enter()) return false;
      joined.add(onEnd);
      return true;
    }
  }

  /** One that joined has its answer, or waits no longer. */
  void leave() {
    synchronized (this) {
      if (ending != null) return;
    }
    audience.leave();
  }

  /**
   * No caller joins from here on: a change has arrived, or the result is on its way. A publish that is stored, then
   * invalidated, then answered would otherwise feed a caller that came after the invalidation.
   */
  synchronized void close() {
    closed = true;
  }

  void end(Ending how) {
    List<Consumer<Ending>> all;
    synchronized (this) {
      closed = true;
      if (ending != null) return;
      ending = how;
      all = joined;
      joined = List.of();
    }
    all.forEach(one -> one.accept(how));
  }

  private boolean isFor(Options<?> options) {
    if (!options.mayJoin()) return false;
    boolean forbidsStale = options.stale() == Options.Stale.FORBID;
    // While a fresh value is rebuilt, callers are served that one at once.
    if (isRefresh) return !hasPrevious && stale == options.stale() && !forbidsStale;
    // A caller that accepts a stale value gets it from the service at once, where there is one. A lease that was asked
    // for by a caller with another choice does not say whether there is.
    return forbidsStale || (stale == options.stale() && !hasPrevious);
  }
}
