package dev.dibs;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * How long a value lives, and what a call wants. Never changes: each setter returns a copy, so that one constant can
 * serve a whole class of keys. Each option is read by the method of its name without an argument. Durations travel as
 * whole milliseconds; what is beyond is dropped. Where an option says "policy", null leaves it to the namespace's.
 *
 * @param <V> what the values are
 */
public final class Options<V> {
  /** Whether a stale value is a good answer. */
  public enum Stale {
    /** It is served at once while one caller rebuilds. */
    ALLOW,
    /** Only a fresh value counts. */
    FORBID
  }

  /** How far a read may trust copies. */
  public enum Read {
    /** A replica's memory may answer. */
    NEAR,
    /** Nothing that was invalidated before this call began is returned. */
    STORE
  }

  /** What a caller with the lease does where there is a value to serve meanwhile. */
  public enum Revalidate {
    /** Serves it, and the rebuild continues in the background. */
    BACKGROUND,
    /** Waits for the rebuild. */
    AWAIT
  }

  private final Codec<V> codec;
  private final Duration ttl;
  private Duration staleTtl;
  private Duration absentTtl;
  private List<String> tags = List.of();
  private String namespace;
  private Duration maxWait;
  private Duration lease;
  private Duration leaseHoldMax;
  private Stale stale;
  private Read read;
  private boolean refreshing;
  private Revalidate revalidate = Revalidate.BACKGROUND;
  private boolean staleIfError;
  private OnUnavailable onUnavailable;
  private String traceparent = "";

  /** Found to be within their bounds: a constant is checked once. */
  private boolean sound;

  private Options(Codec<V> codec, Duration ttl) {
    this.codec = Objects.requireNonNull(codec, "codec");
    this.ttl = Objects.requireNonNull(ttl, "ttl");
  }

  private Options<V> with(Consumer<Options<V>> change) {
    Options<V> copy = new Options<>(codec, ttl);
    copy.staleTtl = staleTtl;
    copy.absentTtl = absentTtl;
    copy.tags = tags;
    copy.namespace = namespace;
    copy.maxWait = maxWait;
    copy.lease = lease;
    copy.leaseHoldMax = leaseHoldMax;
    copy.stale = stale;
    copy.read = read;
    copy.refreshing = refreshing;
    copy.revalidate = revalidate;
    copy.staleIfError = staleIfError;
    copy.onUnavailable = onUnavailable;
    copy.traceparent = traceparent;
    change.accept(copy);
    return copy;
  }

  /**
   * What every call must say; the rest has defaults.
   *
   * @param <V> what the values are
   * @param codec how they become bytes and come back
   * @param ttl how long a value is fresh: 1 ms to 365 days
   * @return everything else as it is by default
   */
  public static <V> Options<V> of(Codec<V> codec, Duration ttl) {
    return new Options<>(codec, ttl);
  }

  /**
   * The same for values that travel as JSON: {@link Codec#json}.
   *
   * @param <V> what the values are
   * @param type a class or a record
   * @param ttl how long a value is fresh: 1 ms to 365 days
   * @return everything else as it is by default
   */
  public static <V> Options<V> of(Class<V> type, Duration ttl) {
    return of(Codec.json(type), ttl);
  }

  /**
   * How long after its ttl a value may be served stale. Default: policy.
   *
   * @param duration 0 to 365 days
   * @return a copy
   */
  public Options<V> staleTtl(Duration duration) {
    return with(copy -> copy.staleTtl = duration);
  }

  /**
   * In place of the ttl for the knowledge that the source has nothing. Default: the ttl.
   *
   * @param duration 1 ms to 365 days
   * @return a copy
   */
  public Options<V> absentTtl(Duration duration) {
    return with(copy -> copy.absentTtl = duration);
  }

  /**
   * Names to invalidate the value by. Default: none.
   *
   * @param names at most 16, each of 1 to 256 bytes
   * @return a copy
   */
  public Options<V> tags(String... names) {
    return with(copy -> copy.tags = List.of(names));
  }

  /**
   * Where the key stands. Default: the client's namespace.
   *
   * @param name at most 64 of {@code [A-Za-z0-9_.-]}
   * @return a copy
   */
  public Options<V> namespace(String name) {
    return with(copy -> copy.namespace = name);
  }

  /**
   * How long to wait for another caller's rebuild. Default: 30 s, and no longer than the service's maximum.
   *
   * @param duration 0 does not wait
   * @return a copy
   */
  public Options<V> maxWait(Duration duration) {
    return with(copy -> copy.maxWait = duration);
  }

  /**
   * How long the lease lasts; it is extended while the rebuild runs. Default: learned by the service.
   *
   * @param duration within the service's bounds, by default 100 ms to 60 s
   * @return a copy
   */
  public Options<V> lease(Duration duration) {
    return with(copy -> copy.lease = duration);
  }

  /**
   * How long one lease is extended in all. Then it counts as lost, whether the rebuild has ended or not. Default: the
   * client's, 10 minutes.
   *
   * @param duration above 0
   * @return a copy
   */
  public Options<V> leaseHoldMax(Duration duration) {
    return with(copy -> copy.leaseHoldMax = duration);
  }

  /**
   * Whether a stale value is a good answer. Default: policy.
   *
   * @param choice null for the policy's
   * @return a copy
   */
  public Options<V> stale(Stale choice) {
    return with(copy -> copy.stale = choice);
  }

  /**
   * How far copies may be trusted. Default: policy. A read of the store is not joined with calls that came before it.
   *
   * @param choice null for the policy's
   * @return a copy
   */
  public Options<V> read(Read choice) {
    return with(copy -> copy.read = choice);
  }

  /**
   * Rebuild now, although the value may be fresh. Not joined with calls that came before it.
   *
   * @return a copy
   */
  public Options<V> refresh() {
    return with(copy -> copy.refreshing = true);
  }

  /**
   * What to do with the lease where there is a value to serve meanwhile. Default: {@link Revalidate#BACKGROUND}; with
   * {@link #refresh()} always {@link Revalidate#AWAIT}.
   *
   * @param choice not null
   * @return a copy
   */
  public Options<V> revalidate(Revalidate choice) {
    return with(copy -> copy.revalidate = Objects.requireNonNull(choice, "revalidate"));
  }

  /**
   * With {@link Revalidate#AWAIT}: where the rebuild fails and there is a stale value, that value. Default: the error.
   *
   * @return a copy
   */
  public Options<V> staleIfError() {
    return with(copy -> copy.staleIfError = true);
  }

  /**
   * What to do when the service cannot be reached. Default: the client's choice.
   *
   * @param choice null for the client's
   * @return a copy
   */
  public Options<V> onUnavailable(OnUnavailable choice) {
    return with(copy -> copy.onUnavailable = choice);
  }

  /**
   * The W3C traceparent to pass on. Default: that of OpenTelemetry's current span.
   *
   * @param header as in the HTTP header of that name
   * @return a copy
   */
  public Options<V> traceparent(String header) {
    return with(copy -> copy.traceparent = Objects.requireNonNull(header, "traceparent"));
  }

  /** {@return how values become bytes and come back} */
  public Codec<V> codec() {
    return codec;
  }

  /** {@return how long a value is fresh} */
  public Duration ttl() {
    return ttl;
  }

  /** {@return how long after that it may be served stale; null for the policy's} */
  public Duration staleTtl() {
    return staleTtl;
  }

  /** {@return how long the knowledge is fresh that the source has nothing} */
  public Duration absentTtl() {
    return absentTtl == null ? ttl : absentTtl;
  }

  /** {@return names to invalidate the value by} */
  public List<String> tags() {
    return tags;
  }

  /** {@return where the key stands; null for the client's} */
  public String namespace() {
    return namespace;
  }

  /** {@return how long to wait for another caller's rebuild; null for the default} */
  public Duration maxWait() {
    return maxWait;
  }

  /** {@return how long the lease lasts; null for the service's choice} */
  public Duration lease() {
    return lease;
  }

  /** {@return how long one lease is extended in all; null for the client's choice} */
  public Duration leaseHoldMax() {
    return leaseHoldMax;
  }

  /** {@return whether a stale value is a good answer; null for the policy's} */
  public Stale stale() {
    return stale;
  }

  /** {@return how far copies may be trusted; null for the policy's} */
  public Read read() {
    return read;
  }

  /** {@return whether to rebuild a fresh value too} */
  public boolean isRefresh() {
    return refreshing;
  }

  /** {@return what to do with the lease where there is a value to serve meanwhile} */
  public Revalidate revalidate() {
    return revalidate;
  }

  /** {@return whether a stale value is served where its rebuild fails} */
  public boolean isStaleIfError() {
    return staleIfError;
  }

  /** {@return what to do when the service cannot be reached; null for the client's choice} */
  public OnUnavailable onUnavailable() {
    return onUnavailable;
  }

  /** {@return the W3C traceparent to pass on; empty for the current span's} */
  public String traceparent() {
    return traceparent;
  }

  /** Refuses what is out of bounds, by its name. */
  void refuseBroken() {
    if (sound) return;
    Bounds.options(this);
    sound = true;
  }

  /** A read of the store and a refresh want what is newer than the call, and not what an earlier one has read. */
  boolean mayJoin() {
    return read != Read.STORE && !refreshing;
  }
}
