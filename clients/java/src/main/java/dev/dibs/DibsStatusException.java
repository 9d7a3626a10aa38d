package dev.dibs;

import dev.dibs.v1.CallError;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CompletionException;

/**
 * The service refused the call, or no answer came. For bad input, the message begins with the name of the field and
 * states its bounds.
 */
public class DibsStatusException extends DibsException {
  private static final long serialVersionUID = 1L;
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  /** The code of the call. */
  private final Status.Code code;

  DibsStatusException(Status.Code code, String message, Duration retryAfter, Throwable cause) {
    super(message, retryAfter, cause);
    this.code = code;
  }

  /**
   * For the client, and for test doubles of it.
   *
   * @param code of the call
   * @param message for people
   */
  public DibsStatusException(Status.Code code, String message) {
    this(code, message, null, null);
  }

  /** The error of a unary call. */
  static DibsStatusException of(Status status, Metadata trailers) {
    String pushback = trailers == null ? null : trailers.get(PUSHBACK);
    boolean isTime = pushback != null && pushback.matches("\\d{1,15}");
    Duration retryAfter = isTime ? Duration.ofMillis(Long.parseLong(pushback)) : null;
    String message = status.getDescription() == null ? status.getCode().name() : status.getDescription();
    // The network's own error text, such as "connection refused", is in the cause.
    Throwable cause = status.getCause();
    String why = cause == null ? "" : ": " + (cause.getMessage() == null ? cause : cause.getMessage());
    boolean isBroken = isBrokenOff(status, cause);
    Status.Code code = isBroken ? Status.Code.UNAVAILABLE : status.getCode();
    return new DibsStatusException(code, message + why, retryAfter, cause);
  }

  /**
   * The connection ended during the call, which may be repeated on another connection. An error that the service itself
   * sent has no cause and does not mention HTTP/2.
   */
  private static boolean isBrokenOff(Status status, Throwable cause) {
    boolean isWriting = status.getCode() == Status.Code.UNKNOWN && cause instanceof IOException;
    return isWriting || (status.getDescription() != null && status.getDescription().contains("HTTP/2 error code:"));
  }

  /** The error of a call within a session. */
  static DibsStatusException of(CallError error) {
    Duration retryAfter = error.hasRetryAfterMs() ? Duration.ofMillis(error.getRetryAfterMs()) : null;
    return new DibsStatusException(
        Status.fromCodeValue(error.getCode()).getCode(), error.getMessage(), retryAfter, null);
  }

  /** The error that failed a call's future. */
  static DibsStatusException of(Throwable failure) {
    if (failure instanceof DibsStatusException known) return known;
    if (failure instanceof CompletionException wrapper && wrapper.getCause() != null) return of(wrapper.getCause());
    return new DibsStatusException(Status.Code.UNKNOWN, String.valueOf(failure), null, failure);
  }

  static DibsStatusException cancelled(String message) {
    return new DibsStatusException(Status.Code.CANCELLED, message);
  }

  static DibsStatusException unavailable(String message) {
    return new DibsStatusException(Status.Code.UNAVAILABLE, message);
  }

  /**
   * The canonical gRPC code.
   *
   * @return never {@code OK}
   */
  public Status.Code code() {
    return code;
  }

  /** No answer came: the service may be down, and whether it processed the call is unknown. */
  boolean isUnreachable() {
    return retryAfter().isEmpty() && (code == Status.Code.UNAVAILABLE || code == Status.Code.DEADLINE_EXCEEDED);
  }

  /** The service sent this error. Otherwise no answer came, or the client had no token to send. */
  boolean isAnswer() {
    return !isUnreachable() && !(getCause() instanceof Token.Refusal);
  }
}
