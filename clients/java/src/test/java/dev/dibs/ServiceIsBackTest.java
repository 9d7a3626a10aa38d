package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.google.protobuf.ByteString;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Hit;
import dev.dibs.v1.Lease;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** What a near cache has kept for the absence of the service, when that answers again. */
final class ServiceIsBackTest {
  private static final FullKey KEY = FullKey.of("", "k");
  private static final FullKey OTHER = FullKey.of("", "other");

  private final AtomicLong nowNanos = new AtomicLong();
  private final NearCache near = new NearCache(1 << 20, List.of(""), true, nowNanos::get);
  private final Watch watch = begun();

  private Watch begun() {
    Watch its = near.watch();
    near.welcomed(its);
    return its;
  }

  private void keep(FullKey key, Watch by) {
    Hit hit = Hit.newBuilder().setValue(ByteString.copyFromUtf8("v")).setFreshForMs(60_000).build();
    near.answered(near.sending(key, by), hit);
  }

  @Test
  void dropsIt() {
    keep(KEY, watch);
    near.ended(watch);
    assertNotNull(near.left(KEY));
    near.serviceIsBack();
    assertNull(near.left(KEY));
  }

  /** The answer of another session may be newer, even if it is not kept. */
  @Test
  void leavesNothingThatIsOlderThanAnAnswer() {
    Watch other = begun();
    keep(KEY, watch);
    keep(OTHER, watch);
    GetOrLockResponse lease = GetOrLockResponse.newBuilder().setLease(Lease.getDefaultInstance()).build();
    near.answered(KEY, near.sending(KEY, other), lease);
    near.answered(OTHER, near.sending(OTHER, watch), lease);
    near.missed();
    assertNull(near.left(KEY));
    assertNotNull(near.left(OTHER));
    near.answered(OTHER, null, null);
    assertNotNull(near.left(OTHER));
    near.answered(OTHER, null, lease);
    assertNull(near.left(OTHER));
  }

  /** A session that is silent may have missed a change. */
  @Test
  void dropsWhatCameOverASilentSessionOnly() {
    Watch silent = begun();
    keep(KEY, watch);
    keep(OTHER, silent);
    nowNanos.addAndGet(Duration.ofMillis(2_999).toNanos());
    near.heard(watch);
    nowNanos.addAndGet(Duration.ofMillis(1).toNanos());
    near.serviceIsBack();
    assertNotNull(near.get(KEY));
    near.missed();
    assertNotNull(near.left(KEY));
    assertNull(near.left(OTHER));
  }
}
