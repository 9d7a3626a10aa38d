package dev.dibs;

import static dev.dibs.FakeService.hit;
import static dev.dibs.FakeService.lease;
import static dev.dibs.FakeService.unavailable;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.InvalidateRequest;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What this process does by itself while the service cannot be reached. */
final class LocalRebuildTest {
  private static final Logger LOG = Logger.getLogger("dev.dibs");
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeService fake = new FakeService();
  private final DibsClient client = fake.client().session(false).build();
  private final AtomicInteger rebuilds = new AtomicInteger();
  private final List<String> warnings = new CopyOnWriteArrayList<>();
  private final Handler handler = new Handler() {
    @Override
    public void publish(LogRecord record) {
      warnings.add(record.getMessage());
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  };

  @BeforeEach
  void goAway() {
    LOG.addHandler(handler);
    fake.will(GetOrLockRequest.class, unavailable());
    fake.will(InvalidateRequest.class, unavailable());
  }

  @AfterEach
  void close() {
    LOG.removeHandler(handler);
    client.close();
    fake.close();
  }

  private String get(Options<String> options) throws Exception {
    return client.getOrRebuild("k", options, () -> "v" + rebuilds.incrementAndGet());
  }

  /** The second attempt may reach another replica. */
  @Test
  void beginsWhenTheServiceHasBrokenOffTwiceInARow() throws Exception {
    assertEquals("v1", get(TEXT));
    assertEquals(2, fake.requests(GetOrLockRequest.class).size());
    assertEquals("v2", get(TEXT.refresh()));
    assertEquals(4, fake.requests(GetOrLockRequest.class).size());
  }

  @Test
  void isKeptForTheNextCallers() throws Exception {
    for (int time = 0; time < 3; time += 1) assertEquals("v1", get(TEXT));
    // These want what is newer than their call.
    assertEquals("v2", get(TEXT.refresh()));
    assertEquals("v3", get(TEXT.read(Options.Read.STORE)));
    for (int time = 0; time < 2; time += 1) assertNull(client.getOrRebuild("none", TEXT, () -> null));
    assertNull(client.getOrRebuild("none", TEXT, () -> "never"));
  }

  @Test
  void isNotKeptLongerThanItsTimeNorAgainstItsRebuildsWill() throws Exception {
    Options<String> brief = Options.of(Codec.UTF_8, Duration.ofMillis(1));
    assertEquals("v1", get(brief));
    Until.isTrue(() -> get(brief).equals("v2"));
    RebuildFunction<String, Exception> unstored = rebuild -> {
      rebuild.doNotStore();
      return "w" + rebuilds.incrementAndGet();
    };
    assertEquals("w3", client.getOrRebuild("l", TEXT, unstored));
    assertEquals("w4", client.getOrRebuild("l", TEXT, unstored));
  }

  @Test
  void isForgottenWhenTheServiceIsBack() throws Exception {
    assertEquals("v1", get(TEXT));
    fake.will(GetOrLockRequest.class, lease("t", 10_000), unavailable());
    assertEquals("other", client.getOrRebuild("other", TEXT, () -> "other"));
    assertEquals("v2", get(TEXT));
  }

  @Test
  void isKeptWhenTheClientsOwnTokenCannotBeHad() throws Exception {
    AtomicReference<String> token = new AtomicReference<>("t");
    try (DibsClient own = fake.client().session(false).token(token::get).build()) {
      assertEquals("v1", own.getOrRebuild("k", TEXT, () -> "v1"));
      token.set(null);
      assertThrows(DibsStatusException.class, () -> own.getOrRebuild("k", TEXT, () -> "never"));
      token.set("t");
      assertEquals("v1", own.getOrRebuild("k", TEXT, () -> "v2"));
    }
  }

  @Test
  void isForgottenWhenTheProcessInvalidatesIt() throws Exception {
    assertEquals("v1", get(TEXT));
    assertThrows(DibsStatusException.class, () -> client.invalidate(Invalidation.ofKeys("k")));
    assertEquals("v2", get(TEXT));
    assertThrows(DibsStatusException.class, () -> client.invalidate(Invalidation.ofTags("t")));
    assertEquals("v3", get(TEXT));
  }

  @Test
  void isKeptWhenAnotherKeyChangesMeanwhile() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> one = client.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      gate.await();
      return "one";
    });
    running.await();
    assertThrows(DibsStatusException.class, () -> client.invalidate(Invalidation.ofKeys("other")));
    gate.countDown();
    assertEquals("one", one.get());
    assertEquals("one", get(TEXT));
  }

  @Test
  void isNotJoinedByACallThatNeedsAValueFromAfterIt() throws Exception {
    fake.will(GetOrLockManyRequest.class, unavailable());
    int number = 0;
    for (Options<String> newest : List.of(TEXT.refresh(), TEXT.read(Options.Read.STORE))) {
      for (boolean isMany : List.of(false, true)) {
        String key = "k" + ++number;
        Options<String> options = newest.maxWait(Duration.ofSeconds(5));
        CountDownLatch running = new CountDownLatch(1);
        CountDownLatch gate = new CountDownLatch(1);
        CompletableFuture<String> old = client.getOrRebuildAsync(key, TEXT, () -> {
          running.countDown();
          gate.await();
          return "old";
        });
        running.await();
        String value =
            isMany
                ? client.getOrRebuildMany(List.of(key), options, keys -> Map.of(key, "new")).get(key)
                : client.getOrRebuild(key, options, () -> "new");
        assertEquals("new", value);
        gate.countDown();
        assertEquals("old", old.get());
        // The older one is not what is kept.
        assertEquals("new", client.getOrRebuild(key, TEXT, () -> "never"));
      }
    }
  }

  /** Calls of one key may have different codecs. */
  @Test
  void isMadeAgainForACallerWhoseCodecCannotReadIt() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> text = client.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      gate.await();
      return "no number";
    });
    running.await();
    Options<Long> numbers = Options.of(Long.class, Duration.ofMinutes(1));
    int before = fake.heard.size();
    CompletableFuture<Long> number = client.getOrRebuildAsync("k", numbers, () -> 7L);
    Until.isTrue(() -> fake.heard.size() > before);
    // It joins soon after that, or has the value that was kept.
    Thread.sleep(100);
    gate.countDown();
    assertEquals("no number", text.get());
    assertEquals(7L, number.get());
  }

  @Test
  void isNeitherJoinedNorKeptWhenTheServiceWasBackMeanwhile() throws Exception {
    CountDownLatch running = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    CompletableFuture<String> old = client.getOrRebuildAsync("k", TEXT, () -> {
      running.countDown();
      gate.await();
      return "old";
    });
    running.await();
    fake.will(GetOrLockRequest.class, hit("theirs"), unavailable());
    assertEquals("theirs", client.getOrRebuild("other", TEXT, () -> "never"));
    assertEquals("v1", get(TEXT));
    gate.countDown();
    assertEquals("old", old.get());
    assertEquals("v1", get(TEXT));
  }

  @Test
  void isLoggedAtEachChangeOnly() throws Exception {
    for (int time = 0; time < 3; time += 1) get(TEXT.refresh());
    assertEquals(1, warnings.size(), warnings.toString());
    fake.will(GetOrLockRequest.class, hit("v"));
    for (int time = 0; time < 3; time += 1) assertEquals("v", get(TEXT));
    assertEquals(2, warnings.size(), warnings.toString());
  }
}
