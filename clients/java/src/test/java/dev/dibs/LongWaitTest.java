package dev.dibs;

import static dev.dibs.FakeService.busy;
import static dev.dibs.FakeService.hit;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Waits that may be longer than the service's longest. */
final class LongWaitTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeService fake = new FakeService();
  private final DibsClient client = fake.client().session(false).build();

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  private String get(Options<String> options) throws Exception {
    return client.getOrRebuild("k", options, () -> "never");
  }

  @Test
  void aWaitThatTheCallerDoesNotSetOutlastsTheServicesLongest() throws Exception {
    fake.will(GetOrLockRequest.class, busy(1, 2), hit("v"));
    assertEquals("v", get(TEXT));
  }

  /** So that it ends with the caller's own. */
  @Test
  void theLastPieceOfALongWaitIsSaid() throws Exception {
    fake.will(GetOrLockRequest.class, busy(300, 4), hit("v"));
    assertEquals("v", get(TEXT.maxWait(FetchLoop.WAIT_MAX.plusMillis(200))));
    assertTrue(fake.requests(GetOrLockRequest.class).get(1).hasWaitMs());
  }
}
