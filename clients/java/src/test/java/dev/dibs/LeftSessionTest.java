package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertNull;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Hit;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a session that is being left brings into a near cache. */
final class LeftSessionTest {
  private static final FullKey KEY = FullKey.of("", "k");

  private final NearCache near = new NearCache(1 << 20, List.of(""), true, System::nanoTime);

  private Watch begun() {
    Watch watch = near.watch();
    near.welcomed(watch);
    return watch;
  }

  /**
   * A thread that sends a call knows the session as a live one, until it is left at that moment. When that session has
   * ended, nothing reports changes of what it had answered. Another session may begin after that, and end.
   */
  @Test
  void keepsNoAnswerToACallThatIsSentAsItIsLeft() {
    Watch leaving = begun();
    Watch other = begun();
    near.ended(leaving);
    NearCache.Asking asking = near.sending(KEY, leaving);
    if (asking != null) {
      near.answered(asking, Hit.newBuilder().setValue(ByteString.copyFromUtf8("v")).setFreshForMs(60_000).build());
    }
    assertNull(near.get(KEY));
    near.ended(other);
    assertNull(near.left(KEY));
  }
}
