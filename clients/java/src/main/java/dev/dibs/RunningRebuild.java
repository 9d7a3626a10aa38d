package dev.dibs;

import dev.dibs.v1.Lease;
import dev.dibs.v1.LeaseReason;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * A rebuild of this process under a lease, as seen by callers that come after the lease was granted. They may not get
 * anything older than their own call, so the result is theirs only if the service says that it still counts.
 */
final class RunningRebuild {
  /**
   * The result of a rebuild for callers that joined it.
   *
   * @param counts false if they have to ask the service
   * @param error null if there is a value
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

  /** Joins for a caller with these options; false if it has to ask the service. */
  boolean join(Options<?> options, Consumer<Ending> onEnd) {
    if (!isFor(options)) return false;
    synchronized (this) {
      if (closed || !audience.enter()) return false;
      joined.add(onEnd);
      return true;
    }
  }

  /** A caller that joined has its answer, asks for itself, or no longer waits. */
  void leave() {
    synchronized (this) {
      if (ending != null && ending.counts()) return;
    }
    audience.leave();
  }

  /**
   * From here on no caller joins: a change has arrived, or the result is on its way. Otherwise, if a publish is stored,
   * then invalidated, then answered, it would be returned to a caller that came after the invalidation.
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
    // While a fresh value is rebuilt, callers get that value at once.
    if (isRefresh) return !hasPrevious && stale == options.stale() && !forbidsStale;
    // A caller that accepts a stale value gets it from the service at once, if there is one. A lease that was requested
    // by a caller with another setting does not tell whether there is one.
    return forbidsStale || (stale == options.stale() && !hasPrevious);
  }
}
