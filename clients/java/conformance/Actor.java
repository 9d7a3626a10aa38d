package dev.dibs.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import dev.dibs.Codec;
import dev.dibs.DibsClient;
import dev.dibs.DibsClientBuilder;
import dev.dibs.OnUnavailable;
import dev.dibs.Options;
import dev.dibs.Rebuild;
import java.time.Duration;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;

/** What one scenario's actor has: its clients, the calls that are open, and the gates of its rebuilds. */
final class Actor {
  /** A client, and what it was opened with. */
  private record Opened(DibsClient client, JsonObject fields) {}

  private final Map<String, Opened> clients = new ConcurrentHashMap<>();
  private final Map<String, CompletableFuture<?>> open = new ConcurrentHashMap<>();
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
      case "get_or_rebuild" -> {
        return getOrRebuild(fields);
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
    DibsClient client = builder(fields).hooks(new EmittedHooks(emit)).build();
    clients.put(text(fields, "client"), new Opened(client, fields));
  }

  /** By a client of its own: one that tells of every hit would measure that. */
  private JsonObject bench(JsonObject fields) throws Exception {
    JsonObject opened = opened(fields).fields();
    boolean overSession = !has(opened, "session") || opened.get("session").getAsBoolean();
    try (DibsClient client = builder(opened).build()) {
      return new Bench(client, overSession, has(opened, "namespace") ? text(opened, "namespace") : "", fields).run();
    }
  }

  private static DibsClientBuilder builder(JsonObject fields) {
    DibsClientBuilder builder = DibsClient.builder().target(text(fields, "target"));
    if (has(fields, "namespace")) builder.namespace(text(fields, "namespace"));
    if (has(fields, "holder")) builder.holder(text(fields, "holder"));
    if (has(fields, "token")) builder.token(text(fields, "token"));
    if (has(fields, "session")) builder.session(fields.get("session").getAsBoolean());
    if (has(fields, "on_unavailable")) builder.onUnavailable(word(fields, "on_unavailable", OnUnavailable::valueOf));
    if (has(fields, "connect_ms")) builder.connectTimeout(time(fields, "connect_ms"));
    return builder;
  }

  private void leave(String call) {
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
    String call = text(fields, "call");
    RebuildScript script =
        new RebuildScript(fields.getAsJsonObject("rebuild"), gates, () -> emit.accept(event("lost", call)));
    CompletableFuture<byte[]> value =
        client(fields)
            .getOrRebuildAsync(
                text(fields, "key"),
                options(fields),
                rebuild -> {
                  tellRebuild(call, rebuild);
                  return script.follow(rebuild);
                });
    if (has(fields, "deadline_ms")) value.orTimeout(time(fields, "deadline_ms").toMillis(), TimeUnit.MILLISECONDS);
    return named(fields, value)
        .thenApply(
            bytes -> {
              JsonObject result = new JsonObject();
              result.add("value", base64(bytes));
              return result;
            });
  }

  /** The call can be left by its name. */
  private <T> CompletableFuture<T> named(JsonObject fields, CompletableFuture<T> call) {
    if (!has(fields, "call")) return call;
    String name = text(fields, "call");
    open.put(name, call);
    call.whenComplete((value, error) -> open.remove(name, call));
    return call;
  }

  private void tellRebuild(String call, Rebuild<byte[]> rebuild) {
    JsonObject event = event("rebuild", call);
    event.addProperty("reason", rebuild.reason().name().toLowerCase(Locale.ROOT));
    event.addProperty("fence", rebuild.fence());
    if (rebuild.hasPrevious()) event.add("previous", base64(rebuild.previous()));
    emit.accept(event);
  }

  private static Options<byte[]> options(JsonObject fields) {
    Options<byte[]> options = Options.of(Codec.BYTES, time(fields, "ttl_ms"));
    if (has(fields, "stale_ms")) options = options.staleTtl(time(fields, "stale_ms"));
    if (has(fields, "absent_ttl_ms")) options = options.absentTtl(time(fields, "absent_ttl_ms"));
    if (has(fields, "tags")) options = options.tags(texts(fields.getAsJsonArray("tags")));
    if (has(fields, "namespace")) options = options.namespace(text(fields, "namespace"));
    if (has(fields, "wait_ms")) options = options.maxWait(time(fields, "wait_ms"));
    if (has(fields, "lease_ms")) options = options.lease(time(fields, "lease_ms"));
    if (has(fields, "stale")) options = options.stale(word(fields, "stale", Options.Stale::valueOf));
    if (has(fields, "read")) options = options.read(word(fields, "read", Options.Read::valueOf));
    if (has(fields, "refresh") && fields.get("refresh").getAsBoolean()) options = options.refresh();
    if (has(fields, "revalidate")) {
      options = options.revalidate(word(fields, "revalidate", Options.Revalidate::valueOf));
    }
    if (has(fields, "on_unavailable")) {
      options = options.onUnavailable(word(fields, "on_unavailable", OnUnavailable::valueOf));
    }
    if (has(fields, "traceparent")) options = options.traceparent(text(fields, "traceparent"));
    return options;
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

  private static JsonElement base64(byte[] bytes) {
    if (bytes == null) return JsonNull.INSTANCE;
    return new JsonPrimitive(Base64.getEncoder().encodeToString(bytes));
  }

  private static boolean has(JsonObject fields, String name) {
    return fields.has(name) && !fields.get(name).isJsonNull();
  }

  private static String text(JsonObject fields, String name) {
    return fields.get(name).getAsString();
  }

  private static Duration time(JsonObject fields, String name) {
    return Duration.ofMillis(fields.get(name).getAsLong());
  }

  private static <E> E word(JsonObject fields, String name, Function<String, E> of) {
    return of.apply(text(fields, name).toUpperCase(Locale.ROOT));
  }

  private static String[] texts(JsonArray array) {
    return array.asList().stream().map(JsonElement::getAsString).toArray(String[]::new);
  }
}
