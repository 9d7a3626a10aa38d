package dev.dibs;

import static dev.dibs.FakeService.busy;
import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.published;
import static dev.dibs.FakeService.refuses;
import static dev.dibs.FakeService.unavailable;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.Intent;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.ReleaseRequest;
import io.grpc.Status;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What {@code set} does where its lease or its publish has trouble. */
final class WriteThroughTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeService fake = new FakeService();
  private final Recorded hooks = new Recorded();
  private final DibsClient client = fake.client().session(false).hooks(hooks).build();

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  @Test
  void publishesUnderARefreshAndAgainWhereNoAnswerCame() {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(
        PublishRequest.class,
        unavailable(),
        published(dev.dibs.v1.PublishOutcome.PUBLISH_OUTCOME_DUPLICATE));
    Published done = client.set("k", "v", TEXT);
    assertTrue(done.isStored());
    assertEquals(Intent.INTENT_REFRESH, fake.requests(GetOrLockRequest.class).get(0).getIntent());
    assertEquals("t", fake.requests(PublishRequest.class).get(1).getToken());
    assertTrue(fake.requests(ReleaseRequest.class).isEmpty());
  }

  @Test
  void anInvalidationMeanwhileIsAnOutcome() {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(PublishRequest.class, published(dev.dibs.v1.PublishOutcome.PUBLISH_OUTCOME_INVALIDATED));
    assertFalse(client.set("k", "v", TEXT).isStored());
  }

  @Test
  void whatTheServiceRefusesIsAnErrorAndTheLeaseIsGivenBack() throws Exception {
    fake.will(GetOrLockRequest.class, lease("t", 10_000));
    fake.will(PublishRequest.class, refuses(Status.RESOURCE_EXHAUSTED.withDescription("value: 2 MiB are too many")));
    var error = assertThrows(DibsStatusException.class, () -> client.set("k", "v", TEXT));
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, error.code());
    assertTrue(client.flush(Until.PATIENCE));
    ReleaseRequest release = fake.requests(ReleaseRequest.class).get(0);
    assertFalse(release.hasFailure());
    assertEquals("t", release.getToken());
  }

  /** It would look as if the value were stored. */
  @Test
  void anAnswerWithoutALeaseIsAnError() {
    fake.will(GetOrLockRequest.class, FakeService.hit("other"));
    var error = assertThrows(DibsStatusException.class, () -> client.set("k", "v", TEXT));
    assertEquals(Status.Code.INTERNAL, error.code());
    assertEquals("the answer to a refresh is not a lease", error.getMessage());
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
  }

  @Test
  void aCallerThatHasLeftStoresNothing() throws Exception {
    fake.will(GetOrLockRequest.class, FakeService.NEVER);
    var call = client.setAsync("k", "v", TEXT);
    Until.isTrue(() -> !fake.requests(GetOrLockRequest.class).isEmpty());
    call.cancel(false);
    Until.isTrue(() -> !fake.cancelled.isEmpty());
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
  }

  @Test
  void whatCannotBeEncodedIsRefusedBeforeAnythingIsSent() {
    Options<Double> numbers = Options.of(Double.class, Duration.ofMinutes(1));
    assertThrows(IllegalArgumentException.class, () -> client.set("k", Double.NaN, numbers));
    assertTrue(fake.requests(GetOrLockRequest.class).isEmpty());
  }

  /** A read never waits for a rebuild that no one runs, and never rebuilds. */
  @Test
  void aReadThatIsBusyFindsNothing() throws Exception {
    assertTrue(client.ready(Until.PATIENCE));
    for (int reason = 1; reason <= 7; reason += 1) {
      fake.will(GetOrLockRequest.class, busy(60_000, reason));
      assertTrue(client.get("k", TEXT).isEmpty());
    }
    assertEquals(Intent.INTENT_READ, fake.requests(GetOrLockRequest.class).get(0).getIntent());
    assertTrue(hooks.of("wait").isEmpty(), hooks.events.toString());
  }
}
