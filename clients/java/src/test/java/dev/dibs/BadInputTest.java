package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.PublishRequest;
import dev.dibs.v1.ReleaseRequest;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a caller gives by mistake is an error that names it, and no lease is lost to it. */
final class BadInputTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final Duration FOREVER = Duration.ofSeconds(Long.MAX_VALUE);

  private final FakeService fake = new FakeService();
  private final DibsClient client = fake.client().session(false).build();

  @AfterEach
  void close() {
    client.close();
    fake.close();
  }

  @Test
  void anAsynchronousCallTellsItByItsFuture() {
    var call = client.invalidateAsync(Invalidation.ofKeys("half \ud83d"));
    assertTrue(assertThrows(ExecutionException.class, call::get).getCause().getMessage().startsWith("keys: contains"));
  }

  @Test
  void aValueThatCannotBeEncodedIsToldByTheFutureToo() {
    Options<Double> numbers = Options.of(Double.class, Duration.ofMinutes(1));
    var call = client.setAsync("k", Double.NaN, numbers);
    var error = assertThrows(ExecutionException.class, call::get).getCause();
    assertEquals("the value: NaN is a number that JSON does not have", error.getMessage());
  }

  @Test
  void noRebuildIsRefusedBeforeAnythingIsSent() {
    RebuildFunction<String, Exception> none = null;
    NullPointerException error = assertThrows(NullPointerException.class, () -> client.getOrRebuild("k", TEXT, none));
    assertEquals("rebuild", error.getMessage());
    assertTrue(fake.requests(GetOrLockRequest.class).isEmpty());
  }

  @Test
  void halfASurrogateIsRefusedInATraceparentToo() {
    Options<String> broken = TEXT.traceparent("\ud800");
    DibsStatusException error =
        assertThrows(DibsStatusException.class, () -> client.getOrRebuild("k", broken, () -> "never"));
    assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
    assertTrue(error.getMessage().startsWith("traceparent:"), error.getMessage());
  }

  /** It would end the session, with all calls and leases on it. */
  @Test
  void aTraceparentThatNoMessageCanCarryIsRefused() {
    fake.will(GetOrLockRequest.class, FakeService.hit("v"));
    assertEquals("v", client.getOrRebuild("k", TEXT.traceparent("x".repeat(1_024)), () -> "never"));
    Options<String> longer = TEXT.traceparent("x".repeat(1_023) + "\u00e9");
    DibsStatusException error =
        assertThrows(DibsStatusException.class, () -> client.getOrRebuild("k", longer, () -> "never"));
    assertEquals("traceparent: 1025 bytes is outside 0 to 1024", error.getMessage());
  }

  @Test
  void aConnectTimeoutHasBounds() {
    for (Duration wrong : new Duration[] {Duration.ZERO, Duration.ofMillis(-1), FOREVER, Duration.ofDays(366)}) {
      DibsStatusException error =
          assertThrows(DibsStatusException.class, () -> DibsClient.builder().connectTimeout(wrong));
      assertTrue(error.getMessage().startsWith("connect_timeout_ms:"), error.getMessage());
    }
    fake.client().connectTimeout(Duration.ofMillis(1)).build().close();
    fake.client().connectTimeout(Duration.ofDays(365)).build().close();
  }

  @Test
  void theLongestTimeIsATimeToWait() throws Exception {
    assertTrue(client.ready(FOREVER));
    assertTrue(client.flush(FOREVER));
  }

  @Test
  void aCodecThatMakesNothingFailsItsCallerAndGivesTheLeaseBack() throws Exception {
    fake.will(GetOrLockRequest.class, FakeService.lease("t", 10_000));
    Codec<String> broken =
        new Codec<>() {
          @Override
          public byte[] encode(String value) {
            return null;
          }

          @Override
          public String decode(byte[] bytes) {
            return "";
          }
        };
    Options<String> options = Options.of(broken, Duration.ofMinutes(1));
    NullPointerException error =
        assertThrows(NullPointerException.class, () -> client.getOrRebuild("k", options, () -> "v"));
    assertEquals("the codec's encode returned null: return bytes", error.getMessage());
    Until.isTrue(() -> fake.requests(ReleaseRequest.class).size() == 1);
    assertTrue(fake.requests(PublishRequest.class).isEmpty());
  }
}
