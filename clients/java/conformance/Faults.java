package dev.dibs.conformance;

import com.google.gson.JsonObject;
import dev.dibs.DibsBusyException;
import dev.dibs.DibsException;
import dev.dibs.DibsStatusException;
import dev.dibs.RebuildFailedException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Locale;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;

/** How what a command failed with is told. */
final class Faults {
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private Faults() {}

  static JsonObject of(Throwable error) {
    if (error instanceof CompletionException && error.getCause() != null) return of(error.getCause());
    if (error instanceof RebuildScript.SourceException) return fault("rebuild", error);
    if (error instanceof RebuildFailedException failed) return withRetry(fault("rebuild_failed", failed), failed);
    if (error instanceof DibsBusyException busy) {
      JsonObject fault = withRetry(fault("busy", busy), busy);
      fault.addProperty("reason", busy.reason().name().toLowerCase(Locale.ROOT));
      return fault;
    }
    if (error instanceof DibsStatusException refused) {
      JsonObject fault = withRetry(fault("dibs", refused), refused);
      fault.addProperty("code", refused.code().name());
      return fault;
    }
    if (error instanceof StatusRuntimeException refused) return ofCall(refused);
    if (error instanceof CancellationException || error instanceof TimeoutException) return fault("cancelled", error);
    error.printStackTrace();
    return fault("unexpected", error);
  }

  /** The raw stub's. */
  private static JsonObject ofCall(StatusRuntimeException refused) {
    Status status = refused.getStatus();
    JsonObject fault = new JsonObject();
    fault.addProperty("kind", "dibs");
    fault.addProperty("code", status.getCode().name());
    fault.addProperty("message", status.getDescription());
    String pushback = refused.getTrailers() == null ? null : refused.getTrailers().get(PUSHBACK);
    if (pushback != null) fault.addProperty("retry_after_ms", Long.parseLong(pushback));
    return fault;
  }

  private static JsonObject withRetry(JsonObject fault, DibsException error) {
    error.retryAfter().ifPresent(after -> fault.addProperty("retry_after_ms", after.toMillis()));
    return fault;
  }

  private static JsonObject fault(String kind, Throwable error) {
    JsonObject fault = new JsonObject();
    fault.addProperty("kind", kind);
    fault.addProperty("message", error.getMessage());
    return fault;
  }
}
