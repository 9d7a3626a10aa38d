package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TargetTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1:50051",
        "127.9.9.9:1",
        "localhost:50051",
        "[::1]:50051",
        "dns:///localhost:50051",
        "dns://resolver/localhost:50051",
        "unix:///run/dibs.sock",
        "unix:/run/dibs.sock",
        "unix:///run/a,b.sock",
        "127.0.0.1:1,localhost:2,[::1]:3"
      })
  void thatIsThisMachine(String text) {
    assertTrue(Target.of(text).isLocal());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "dibs:50051",
        "dibs.example.com:50051",
        "10.0.0.1:50051",
        "[fe80::1]:50051",
        "dns:///dibs.internal.:50051",
        "localhost.example.com:1",
        "127.0.0.1.example.com:1",
        "a:1,b:2",
        "127.0.0.1:1,192.0.2.1:1"
      })
  void thatIsAnother(String text) {
    assertFalse(Target.of(text).isLocal());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "dibs",
        "dibs:",
        "dibs:port",
        "dibs:0",
        "127.0.0.1:70000",
        ":50051",
        "a b:1",
        "http://127.0.0.1:50051",
        "dns:///dibs",
        "unix:///",
        "unix://relative.sock",
        "127.0.0.1:1,",
        ",127.0.0.1:1",
        "a:1,,b:2",
        "a:1,b",
        "a:1, b:2",
        "a:1,b:0",
        "127.0.0.1:1,127.0.0.1:65536",
        "dns:///a:1,b:2",
        "a:1,dns:///b:2",
        "a:1,unix:/run/dibs.sock"
      })
  void thatCannotBeReadIsAnErrorWhenTheClientIsMade(String text) {
    DibsClientBuilder builder = DibsClient.builder().target(text);
    String message = assertThrows(IllegalArgumentException.class, builder::build).getMessage();
    assertTrue(message.contains("DIBS_TARGET") && message.contains('"' + text + '"'), message);
  }

  @Test
  void thatIsAListIsReadToTheLastPort() {
    assertEquals("dibs-list:///a:1,b:65535", Target.of("a:1,b:65535,a:1").uri());
    assertEquals("dibs-list:///%5B::1%5D:1,b:2", Target.of("[::1]:1,b:2").uri());
    assertEquals("a:1", Target.of("a:1,a:1").uri());
  }

  @Test
  void thatIsAListTakesATokenInClearOnlyWhereAllOfItIsThisMachine() {
    DibsClientBuilder builder = DibsClient.builder().target("127.0.0.1:1,192.0.2.1:1").token("secret");
    String message = assertThrows(IllegalArgumentException.class, builder::build).getMessage();
    assertTrue(message.contains("would be sent unencrypted to 127.0.0.1:1,192.0.2.1:1"), message);
    builder.target("127.0.0.1:1,127.0.0.2:1").build().close();
  }

  @Test
  void thatIsASocketIsPassedOnWithItsPath() {
    assertEquals("unix:///run/dibs.sock", Target.of("unix:/run/dibs.sock").uri());
    assertTrue(Target.of("unix:///run/dibs.sock").isSocket());
  }
}
