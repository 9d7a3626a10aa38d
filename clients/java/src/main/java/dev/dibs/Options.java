package dev.dibs;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * How long a value lives, and how a call behaves. Immutable: each setter returns a copy, so one constant can serve a
 * whole class of keys. The method of the same name without an argument reads an option. Durations are sent as whole
 * milliseconds; fractions are dropped. If the default is "policy", null means the namespace's policy.
 *
 * @param <V> type of the values
 */
public final class Options<V> {
  /** Whether a stale value is an acceptable answer. */
  public enum Stale {
    /** It is returned at once while one caller rebuilds. */
    ALLOW,
    /** Only a fresh value counts. */
    FORBID
  }

  /** Whether copies may answer a read. */
  public enum Read {
    /** A replica's memory may answer. */
    NEAR,
    /** Nothing is returned that was invalidated before this call began. */
    STORE
  }

  /** What a caller with a lease does if there is a value to return meanwhile. */
  public enum Revalidate {
    /** Returns it; the rebuild continues in the background. */
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

  /** Whether the options were already checked against their bounds: a constant is checked once. */
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
   * What every call needs; the rest has defaults.
   *
   * @param <V> type of the values
   * @param codec converts values to bytes and back
   * @param ttl how long a value is fresh: 1 ms to 365 days
   * @return options with defaults for everything else
   */
  public static <V> Options<V> of(Codec<V> codec, Duration ttl) {
    return new Options<>(codec, ttl);
  }

  /**
   * The same for values as JSON: {@link Codec#json}.
   *
   * @param <V> type of the values
   * @param type a class or a record
   * @param ttl how long a value is fresh: 1 ms to 365 days
   * @return options with defaults for everything else
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
   * The ttl if the source has no value. Default: the ttl.
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
   * The namespace of the key. Default: the client's.
   *
   * @param name at most 64 of {@code [A-Za-z0-9_.-]}
   * @return a copy
   */
  public Options<V> namespace(String name) {
    return with(copy -> copy.namespace = name);
  }

  /**
   * How long to wait for another caller's rebuild. Default: 30 s, limited by the service's maximum.
   *
   * @param duration 0 does not wait
   * @return a copy
   */
  public Options<V> maxWait(Duration duration) {
    return with(copy -> copy.maxWait = duration);
  }

  /**
   * The duration of the lease, which is extended while the rebuild is running. Default: chosen by the service from the
   * key's past rebuilds.
   *
   * @param duration within the service's bounds, by default 100 ms to 60 s
   * @return a copy
   */
  public Options<V> lease(Duration duration) {
    return with(copy -> copy.lease = duration);
  }

  /**
   * How long a lease may be extended in total. After that it counts as lost, even if the rebuild is still running.
   * Default: the client's, 10 minutes.
   *
   * @param duration above 0
   * @return a copy
   */
  public Options<V> leaseHoldMax(Duration duration) {
    return with(copy -> copy.leaseHoldMax = duration);
  }

  /**
   * Whether a stale value is an acceptable answer. Default: policy.
   *
   * @param choice null for the policy's
   * @return a copy
   */
  public Options<V> stale(Stale choice) {
    return with(copy -> copy.stale = choice);
  }

  /**
   * Whether copies may answer a read. Default: policy. A read of the store is not joined with calls that began before
   * it.
   *
   * @param choice null for the policy's
   * @return a copy
   */
  public Options<V> read(Read choice) {
    return with(copy -> copy.read = choice);
  }

  /**
   * Rebuilds even if the value is fresh. Not joined with calls that began before it.
   *
   * @return a copy
   */
  public Options<V> refresh() {
    return with(copy -> copy.refreshing = true);
  }

  /**
   * What a caller with a lease does if there is a value to return meanwhile. Default: {@link Revalidate#BACKGROUND};
   * with {@link #refresh()} always {@link Revalidate#AWAIT}.
   *
   * @param choice not null
   * @return a copy
   */
  public Options<V> revalidate(Revalidate choice) {
    return with(copy -> copy.revalidate = Objects.requireNonNull(choice, "revalidate"));
  }

  /**
   * With {@link Revalidate#AWAIT}: if the rebuild fails and there is a stale value, return that. Default: the error.
   *
   * @return a copy
   */
  public Options<V> staleIfError() {
    return with(copy -> copy.staleIfError = true);
  }

  /**
   * What to do if the service cannot be reached. Default: the client's choice.
   *
   * @param choice null for the client's
   * @return a copy
   */
  public Options<V> onUnavailable(OnUnavailable choice) {
    return with(copy -> copy.onUnavailable = choice);
  }

  /**
   * The W3C traceparent to send. Default: that of OpenTelemetry's current span.
   *
   * @param header as in the HTTP header of that name
   * @return a copy
   */
  public Options<V> traceparent(String header) {
    return with(copy -> copy.traceparent = Objects.requireNonNull(header, "traceparent"));
  }

  /** {@return the codec, which converts values to bytes and back} */
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

  /** {@return the ttl if the source has no value} */
  public Duration absentTtl() {
    return absentTtl == null ? ttl : absentTtl;
  }

  /** {@return names to invalidate the value by} */
  public List<String> tags() {
    return tags;
  }

  /** {@return the namespace of the key; null for the client's} */
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

  /** {@return how long a lease may be extended in total; null for the client's choice} */
  public Duration leaseHoldMax() {
    return leaseHoldMax;
  }

  /** {@return whether a stale value is an acceptable answer; null for the policy's} */
  public Stale stale() {
    return stale;
  }

  /** {@return whether copies may answer a read; null for the policy's} */
  public Read read() {
    return read;
  }

  /** {@return whether to rebuild even if the value is fresh} */
  public boolean isRefresh() {
    return refreshing;
  }

  /** {@return what a caller with a lease does if there is a value to return meanwhile} */
  public Revalidate revalidate() {
    return revalidate;
  }

  /** {@return whether a stale value is returned if its rebuild fails} */
  public boolean isStaleIfError() {
    return staleIfError;
  }

  /** {@return what to do if the service cannot be reached; null for the client's choice} */
  public OnUnavailable onUnavailable() {
    return onUnavailable;
  }

  /** {@return the W3C traceparent to send; empty for the current span's} */
  public String traceparent() {
    return traceparent;
  }

  /** Throws if an option is out of bounds; the message names it. */
  void refuseBroken() {
    if (sound) return;
    Bounds.options(this);
    sound = true;
  }

  /** A read of the store and a refresh need values newer than the call, not those that an earlier call has read. */
  boolean mayJoin() {
    return read != Read.STORE && !refreshing;
  }
}
