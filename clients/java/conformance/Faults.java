package dev.dibs.conformance;

import com.google.gson.JsonObject;
import dev.dibs.DibsBusyException;
import dev.dibs.DibsException;
import dev.dibs.DibsManyException;
import dev.dibs.DibsStatusException;
import dev.dibs.RebuildFailedException;
import dev.dibs.ReentrantRebuildException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Locale;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;

/** How a command's error is reported. */
final class Faults {
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private Faults() {}

  static JsonObject of(Throwable error) {
    if (error instanceof CompletionException && error.getCause() != null) return of(error.getCause());
    // If an exception has no readable text, a future carries it as the cause of another.
    if (error.getCause() instanceof RebuildScript.BadException) return fault("rebuild", (String) null);
    if (error instanceof RebuildScript.SourceException || error instanceof RebuildScript.SourceError) {
      return fault("rebuild", error.getMessage());
    }
    if (error instanceof ReentrantRebuildException) return fault("reentrant", error);
    if (error instanceof JsonCodec.UndecodableException) return fault("undecodable", error);
    if (error instanceof IllegalArgumentException) return fault("invalid_option", error);
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
    if (error instanceof DibsManyException many) return ofMany(many);
    if (error instanceof StatusRuntimeException refused) return ofCall(refused);
    if (error instanceof CancellationException || error instanceof TimeoutException) return fault("cancelled", error);
    error.printStackTrace();
    return fault("unexpected", error);
  }

  private static JsonObject ofMany(DibsManyException many) {
    JsonObject fault = fault("many", many);
    JsonObject errors = new JsonObject();
    many.errors().forEach((key, error) -> errors.add(key, of(error)));
    fault.add("errors", errors);
    fault.add("values", FurtherCalls.base64(many.values()));
    return fault;
  }

  /** An error of the plain stub. */
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
    return fault(kind, error.getMessage());
  }

  private static JsonObject fault(String kind, String message) {
    JsonObject fault = new JsonObject();
    fault.addProperty("kind", kind);
    if (message != null) fault.addProperty("message", message);
    return fault;
  }
}
