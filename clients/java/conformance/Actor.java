package dev.dibs.conformance;

import static dev.dibs.conformance.Fields.has;
import static dev.dibs.conformance.Fields.text;
import static dev.dibs.conformance.Fields.time;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.dibs.DibsClient;
import dev.dibs.InvalidateResult;
import dev.dibs.Invalidation;
import dev.dibs.Rebuild;
import dev.dibs.RebuildFunction;
import dev.dibs.RebuildManyFunction;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** The state of one scenario's actor: its clients, its open calls, and the gates of its rebuilds. */
final class Actor {
  /** A client, and its options. */
  private record Opened(DibsClient client, JsonObject fields) {}

  private final Map<String, Opened> clients = new ConcurrentHashMap<>();
  private final Map<String, CompletableFuture<?>> open = new ConcurrentHashMap<>();

  /** The calls whose callers leave: the command may come before the call is known by its name. */
  private final Set<String> leaving = ConcurrentHashMap.newKeySet();

  private final Gates gates = new Gates();
  private final Consumer<JsonObject> emit;

  Actor(Consumer<JsonObject> emit) {
    this.emit = emit;
  }

  CompletableFuture<JsonObject> act(String what, JsonObject fields) throws Exception {
    switch (what) {
      case "open" -> open(fields);
      case "close" -> client(fields).close();
      case "let" -> gates.of(text(fields, "gate")).countDown();
      case "cancel" -> leave(text(fields, "call"));
      case "ready" -> {
        return told("ready", client(fields).ready(time(fields, "timeout_ms")));
      }
      case "show" -> {
        JsonObject shown = new JsonObject();
        shown.addProperty("text", String.valueOf(client(fields)));
        return CompletableFuture.completedFuture(shown);
      }
      case "flush" -> {
        return told("flushed", client(fields).flush(time(fields, "timeout_ms")));
      }
      case "invalidate" -> {
        return invalidate(fields);
      }
      case "get_or_rebuild" -> {
        return getOrRebuild(fields);
      }
      case "get_or_rebuild_many" -> {
        return getOrRebuildMany(fields);
      }
      case "get" -> {
        return named(fields, FurtherCalls.get(client(fields), fields));
      }
      case "set" -> {
        return named(fields, FurtherCalls.set(client(fields), fields));
      }
      case "explain" -> {
        return client(fields).explainAsync(text(fields, "key")).thenApply(FurtherCalls::json);
      }
      case "call" -> {
        return call(fields);
      }
      case "bench" -> {
        return CompletableFuture.completedFuture(bench(fields));
      }
      default -> throw new IllegalArgumentException("no such command: " + what);
    }
    return CompletableFuture.completedFuture(new JsonObject());
  }

  private void open(JsonObject fields) {
    DibsClient client = ClientOptions.builder(fields).hooks(new EmittedHooks(emit)).build();
    clients.put(text(fields, "client"), new Opened(client, fields));
  }

  /** On a client of its own: one with a hook for every hit would measure that hook. */
  private JsonObject bench(JsonObject fields) throws Exception {
    JsonObject opened = opened(fields).fields();
    boolean overSession = !has(opened, "session") || opened.get("session").getAsBoolean();
    try (DibsClient client = ClientOptions.builder(opened).build()) {
      return new Bench(client, overSession, has(opened, "namespace") ? text(opened, "namespace") : "", fields).run();
    }
  }

  private static CompletableFuture<JsonObject> told(String name, boolean isSo) {
    JsonObject result = new JsonObject();
    result.addProperty(name, isSo);
    return CompletableFuture.completedFuture(result);
  }

  private CompletableFuture<JsonObject> invalidate(JsonObject fields) {
    boolean isStale = has(fields, "mode") && text(fields, "mode").equals("mark_stale");
    boolean all = has(fields, "all") && fields.get("all").getAsBoolean();
    InvalidateResult done =
        client(fields).invalidate(new Invalidation("", names(fields, "keys"), names(fields, "tags"), all, isStale));
    JsonObject result = new JsonObject();
    result.addProperty("keys_invalidated", done.keysInvalidated());
    result.addProperty("leases_voided", done.leasesVoided());
    return CompletableFuture.completedFuture(result);
  }

  private void leave(String call) {
    leaving.add(call);
    CompletableFuture<?> left = open.get(call);
    if (left != null) left.cancel(true);
  }

  private CompletableFuture<JsonObject> call(JsonObject fields) {
    CompletableFuture<JsonObject> call =
        RawCall.start(
            client(fields).channel(),
            text(fields, "method"),
            fields.get("request").toString(),
            has(fields, "deadline_ms") ? time(fields, "deadline_ms") : Duration.ofSeconds(30));
    return named(fields, call);
  }

  private CompletableFuture<JsonObject> getOrRebuild(JsonObject fields) {
    DibsClient client = client(fields);
    String call = text(fields, "call");
    CompletableFuture<byte[]> value =
        client.getOrRebuildAsync(text(fields, "key"), CallOptions.of(fields), rebuild(client, call, fields));
    if (has(fields, "deadline_ms")) value.orTimeout(time(fields, "deadline_ms").toMillis(), TimeUnit.MILLISECONDS);
    return named(fields, value)
        .thenApply(
            bytes -> {
              JsonObject result = new JsonObject();
              result.add("value", FurtherCalls.base64(bytes));
              return result;
            });
  }

  private CompletableFuture<JsonObject> getOrRebuildMany(JsonObject fields) {
    DibsClient client = client(fields);
    String call = text(fields, "call");
    CompletableFuture<Map<String, byte[]>> values =
        client.getOrRebuildManyAsync(
            List.of(Fields.texts(fields, "keys")), CallOptions.of(fields), rebuildMany(client, call, fields));
    if (has(fields, "deadline_ms")) values.orTimeout(time(fields, "deadline_ms").toMillis(), TimeUnit.MILLISECONDS);
    return named(fields, values)
        .thenApply(
            byKey -> {
              JsonObject result = new JsonObject();
              result.add("values", FurtherCalls.base64(byKey));
              return result;
            });
  }

  private RebuildManyFunction<byte[]> rebuildMany(DibsClient client, String call, JsonObject fields) {
    Supplier<RebuildScript> scripts = scripts(client, call, fields);
    return (keys, rebuild) -> {
      JsonObject event = event("rebuild", call);
      JsonArray sorted = new JsonArray();
      keys.stream().sorted().forEach(sorted::add);
      event.add("keys", sorted);
      emit.accept(event);
      return scripts.get().follow(keys, rebuild);
    };
  }

  /** Each run uses the next script, and further runs the last one. */
  private RebuildFunction<byte[], Exception> rebuild(DibsClient client, String call, JsonObject fields) {
    Supplier<RebuildScript> scripts = scripts(client, call, fields);
    return rebuild -> {
      tellRebuild(call, rebuild);
      return scripts.get().follow(rebuild);
    };
  }

  private Supplier<RebuildScript> scripts(DibsClient client, String call, JsonObject fields) {
    List<JsonElement> scripts =
        fields.get("rebuild").isJsonArray()
            ? fields.getAsJsonArray("rebuild").asList()
            : List.of(fields.get("rebuild"));
    AtomicInteger runs = new AtomicInteger();
    return () ->
        new RebuildScript(
            scripts.get(Math.min(runs.getAndIncrement(), scripts.size() - 1)).getAsJsonObject(),
            gates,
            () -> emit.accept(event("lost", call)),
            asked -> client.getOrRebuild(text(asked, "key"), CallOptions.of(asked), rebuild(client, call, asked)));
  }

  /** The call can be cancelled by its name. */
  private <T> CompletableFuture<T> named(JsonObject fields, CompletableFuture<T> call) {
    if (!has(fields, "call")) return call;
    String name = text(fields, "call");
    open.put(name, call);
    if (leaving.contains(name)) call.cancel(true);
    call.whenComplete((value, error) -> open.remove(name, call));
    return call;
  }

  private void tellRebuild(String call, Rebuild<byte[]> rebuild) {
    JsonObject event = event("rebuild", call);
    event.addProperty("reason", rebuild.reason().name().toLowerCase(Locale.ROOT));
    event.addProperty("fence", rebuild.fence());
    if (rebuild.hasPrevious()) event.add("previous", FurtherCalls.base64(rebuild.previous()));
    emit.accept(event);
  }

  private DibsClient client(JsonObject fields) {
    return opened(fields).client();
  }

  private Opened opened(JsonObject fields) {
    Opened opened = clients.get(text(fields, "client"));
    if (opened == null) throw new IllegalArgumentException("no client " + fields.get("client"));
    return opened;
  }

  private static JsonObject event(String name, String call) {
    JsonObject event = new JsonObject();
    event.addProperty("event", name);
    event.addProperty("call", call);
    return event;
  }

  private static List<String> names(JsonObject fields, String name) {
    return has(fields, name) ? List.of(Fields.texts(fields, name)) : List.of();
  }
}
