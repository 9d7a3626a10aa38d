package dev.dibs.conformance;

import com.google.gson.JsonObject;
import dev.dibs.Freshness;
import dev.dibs.Hooks;
import dev.dibs.Published;
import java.time.Duration;
import java.util.Locale;
import java.util.function.Consumer;

/** Emits each hook call as an event. */
record EmittedHooks(Consumer<JsonObject> emit) implements Hooks {
  @Override
  public void onHit(String namespace, String key, Freshness freshness) {
    JsonObject event = event("hit", key);
    event.addProperty("freshness", freshness.name().toLowerCase(Locale.ROOT));
    emit.accept(event);
  }

  @Override
  public void onWait(String namespace, String key, Duration waited, boolean answered) {
    tell("wait", key);
  }

  @Override
  public void onPublish(String namespace, String key, Published published) {
    JsonObject event = event("publish", key);
    event.addProperty("outcome", published.outcome().name().toLowerCase(Locale.ROOT));
    published.counts().ifPresent(counts -> event.addProperty("counts", counts));
    if (published.maybeStored()) event.addProperty("maybe_stored", true);
    emit.accept(event);
  }

  @Override
  public void onLeaseLost(String namespace, String key) {
    tell("lease_lost", key);
  }

  @Override
  public void onLocalRebuild(String namespace, String key, Throwable cause) {
    tell("local_rebuild", key);
  }

  @Override
  public void onBackgroundError(String namespace, String key, Throwable error) {
    tell("background_error", key);
  }

  @Override
  public void onNotStorable(String namespace, String key, Throwable error) {
    tell("not_storable", key);
  }

  @Override
  public void onUndecodable(String namespace, String key, Throwable error) {
    tell("undecodable", key);
  }

  private void tell(String name, String key) {
    emit.accept(event(name, key));
  }

  private static JsonObject event(String name, String key) {
    JsonObject event = new JsonObject();
    event.addProperty("event", "hook");
    event.addProperty("name", name);
    event.addProperty("key", key);
    return event;
  }
}
