package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What a client waits for before it closes. */
final class BackgroundTest {
  private final Background background = new Background();

  private CompletableFuture<Boolean> awaiting() {
    return CompletableFuture.supplyAsync(
        () -> {
          try {
            return background.await(Duration.ofSeconds(10));
          } catch (InterruptedException error) {
            throw new AssertionError(error);
          }
        });
  }

  /** A rebuild ends, and its publish is repeated. */
  @Test
  void isAlsoWhatBeginsMeanwhile() throws Exception {
    CompletableFuture<Void> rebuild = background.begin();
    CompletableFuture<Boolean> waiting = awaiting();
    TimeUnit.MILLISECONDS.sleep(100);
    CompletableFuture<Void> publish = background.begin();
    rebuild.complete(null);
    TimeUnit.MILLISECONDS.sleep(100);
    assertFalse(waiting.isDone());
    publish.complete(null);
    assertEquals(true, waiting.get(5, TimeUnit.SECONDS));
  }

  @Test
  void isNotLongerThanItsTime() throws Exception {
    assertTrue(background.await(Duration.ZERO));
    background.begin();
    assertFalse(background.await(Duration.ZERO));
    assertFalse(background.await(Duration.ofMillis(10)));
  }
}
