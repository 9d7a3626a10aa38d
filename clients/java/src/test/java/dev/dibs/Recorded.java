package dev.dibs;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Hooks that write down what they hear. */
final class Recorded implements Hooks {
  final List<String> events = new CopyOnWriteArrayList<>();

  @Override
  public void onHit(String namespace, String key, Freshness freshness) {
    events.add("hit " + freshness);
  }

  @Override
  public void onWait(String namespace, String key, Duration waited, boolean answered) {
    events.add("wait " + answered);
  }

  @Override
  public void onPublish(String namespace, String key, PublishOutcome outcome, long fence) {
    events.add("publish " + outcome);
  }

  @Override
  public void onLeaseLost(String namespace, String key) {
    events.add("lease lost");
  }

  @Override
  public void onLocalRebuild(String namespace, String key, Throwable cause) {
    events.add("local rebuild");
  }

  @Override
  public void onBackgroundError(String namespace, String key, Throwable error) {
    events.add("background error: " + error.getMessage());
  }

  @Override
  public void onNotStorable(String namespace, String key, Throwable error) {
    events.add("not storable " + ((DibsStatusException) error).code());
  }

  @Override
  public void onUndecodable(String namespace, String key, Throwable error) {
    events.add("undecodable");
  }

  /** Those of one kind. */
  List<String> of(String kind) {
    return events.stream().filter(event -> event.startsWith(kind)).toList();
  }
}
