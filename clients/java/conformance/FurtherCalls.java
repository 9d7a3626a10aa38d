package dev.dibs.conformance;

import static dev.dibs.conformance.Fields.is;
import static dev.dibs.conformance.Fields.text;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import dev.dibs.DibsClient;
import dev.dibs.Explanation;
import java.time.Duration;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** The calls without a rebuild, and how their results are reported. */
final class FurtherCalls {
  private FurtherCalls() {}

  static CompletableFuture<JsonObject> get(DibsClient client, JsonObject fields) {
    return client
        .getAsync(text(fields, "key"), CallOptions.of(fields))
        .thenApply(
            found -> {
              JsonObject result = new JsonObject();
              boolean isAbsent = found.isPresent() && found.get().isAbsent();
              result.addProperty("found", found.isEmpty() ? "nothing" : isAbsent ? "absent" : "value");
              if (found.isPresent() && !isAbsent) result.add("value", base64(found.get().value()));
              return result;
            });
  }

  static CompletableFuture<JsonObject> set(DibsClient client, JsonObject fields) {
    byte[] value = is(fields, "absent") ? null : Base64.getDecoder().decode(text(fields, "value"));
    return client
        .setAsync(text(fields, "key"), value, CallOptions.of(fields))
        .thenApply(
            published -> {
              JsonObject result = new JsonObject();
              result.addProperty("outcome", published.outcome().name().toLowerCase(Locale.ROOT));
              result.addProperty("stored", published.isStored());
              return result;
            });
  }

  static JsonElement base64(byte[] bytes) {
    if (bytes == null) return JsonNull.INSTANCE;
    return new JsonPrimitive(Base64.getEncoder().encodeToString(bytes));
  }

  static JsonObject base64(Map<String, ?> values) {
    JsonObject all = new JsonObject();
    values.forEach((key, value) -> all.add(key, base64((byte[]) value)));
    return all;
  }

  /** With the names and the structure of the contract's message in proto3 JSON. */
  static JsonObject json(Explanation of) {
    JsonObject all = new JsonObject();
    of.lease().ifPresent(lease -> all.add("lease", json(lease)));
    all.addProperty("waiters", of.waiters());
    of.value().ifPresent(value -> all.add("value", json(value)));
    all.addProperty("fence", of.fence());
    JsonArray past = new JsonArray();
    of.pastLeases().forEach(lease -> past.add(json(lease)));
    all.add("pastLeases", past);
    of.failed()
        .ifPresent(
            failed -> {
              JsonObject failure = new JsonObject();
              failure.addProperty("message", failed.message());
              add(failure, "retryAfterMs", failed.retryAfter());
              all.add("failed", failure);
            });
    all.addProperty("degraded", "DEGRADED_" + of.degraded());
    return all;
  }

  private static JsonObject json(Explanation.Lease lease) {
    JsonObject json = new JsonObject();
    json.addProperty("holder", lease.holder());
    json.addProperty("fence", lease.fence());
    add(json, "ageMs", lease.age());
    add(json, "expiresInMs", lease.expiresIn());
    json.addProperty("reason", "LEASE_REASON_" + lease.reason());
    json.addProperty("traceparent", lease.traceparent());
    return json;
  }

  private static JsonObject json(Explanation.Value value) {
    JsonObject json = new JsonObject();
    json.addProperty("absent", value.isAbsent());
    json.addProperty("freshness", "FRESHNESS_" + value.freshness());
    json.addProperty("sizeBytes", value.sizeBytes());
    add(json, "ageMs", value.age());
    add(json, "freshForMs", value.freshFor());
    add(json, "staleForMs", value.staleFor());
    json.addProperty("fence", value.fence());
    JsonArray tags = new JsonArray();
    value.tags().forEach(tags::add);
    json.add("tags", tags);
    return json;
  }

  private static JsonObject json(Explanation.PastLease past) {
    JsonObject json = new JsonObject();
    json.addProperty("holder", past.holder());
    json.addProperty("fence", past.fence());
    add(json, "heldMs", past.held());
    add(json, "endedAgoMs", past.endedAgo());
    json.addProperty("end", "LEASE_END_" + past.end());
    json.addProperty("failureMessage", past.failureMessage());
    return json;
  }

  private static void add(JsonObject json, String name, Duration duration) {
    json.addProperty(name, duration.toMillis());
  }
}
