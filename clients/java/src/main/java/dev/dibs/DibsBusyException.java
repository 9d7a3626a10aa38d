package dev.dibs;

import java.time.Duration;

/** The wait ended without an answer: another caller is still rebuilding, or the service could not decide. */
public final class DibsBusyException extends DibsException {
  private static final long serialVersionUID = 1L;

  /** Why there is no answer. */
  private final BusyReason reason;

  /** How long the holder has had its lease. */
  private final Duration holderAge;

  /**
   * For the client, and for test doubles of it.
   *
   * @param reason why there is no answer
   * @param retryAfter how long to wait before a retry
   * @param holderAge how long the holder has had its lease; 0 if there is none
   */
  public DibsBusyException(BusyReason reason, Duration retryAfter, Duration holderAge) {
    super(
        "no answer within the wait (%s); retry in %d ms".formatted(reason, retryAfter.toMillis()),
        retryAfter,
        null);
    this.reason = reason;
    this.holderAge = holderAge;
  }

  /**
   * Why there is no answer.
   *
   * @return {@link BusyReason#UNSPECIFIED} for one that this version does not know
   */
  public BusyReason reason() {
    return reason;
  }

  /**
   * How long the holder has had its lease.
   *
   * @return 0 if there is none
   */
  public Duration holderAge() {
    return holderAge;
  }
}
