package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class FailureMessageTest {
  @Test
  void isTheErrorsOwnWhereItIsShort() {
    assertEquals("no such user", FailureMessage.of(new Exception("no such user")));
    assertEquals("java.lang.Exception", FailureMessage.of(new Exception()));
  }

  @ParameterizedTest
  @ValueSource(strings = {"x", "é", "€", "😀"})
  void isCutBetweenTwoCharacters(String character) {
    for (int before = 0; before < 4; before += 1) {
      String message = "-".repeat(before) + character.repeat(5_000);
      String cut = FailureMessage.of(new Exception(message));
      int bytes = cut.getBytes(StandardCharsets.UTF_8).length;
      assertTrue(bytes <= 4_096 && bytes > 4_092, cut.length() + " characters, " + bytes + " bytes");
      assertTrue(message.startsWith(cut));
    }
  }
}
