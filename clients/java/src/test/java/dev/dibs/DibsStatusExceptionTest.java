package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Metadata;
import io.grpc.Status;
import java.nio.channels.ClosedChannelException;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class DibsStatusExceptionTest {
  private static DibsStatusException withPushback(String value) {
    Metadata trailers = new Metadata();
    trailers.put(Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER), value);
    return DibsStatusException.of(Status.UNAVAILABLE, trailers);
  }

  @Test
  void ofAConnectionThatClosesIsNobodyThere() {
    Status closing = Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException());
    DibsStatusException error = DibsStatusException.of(closing, null);
    assertEquals(Status.Code.UNAVAILABLE, error.code());
    assertTrue(error.isUnreachable());
    assertEquals(Status.Code.UNKNOWN, DibsStatusException.of(Status.UNKNOWN, new Metadata()).code());
  }

  @Test
  void hasATimeToComeBackWhereTheServiceSaidSo() {
    assertEquals(Optional.of(Duration.ofMillis(250)), withPushback("250").retryAfter());
    assertFalse(withPushback("0").isUnreachable());
  }

  @ParameterizedTest
  @CsvSource({"-1", "soon", "''", "99999999999999999999"})
  void hasNoneWhereThatIsNoTime(String pushback) {
    assertEquals(Optional.empty(), withPushback(pushback).retryAfter());
  }
}
