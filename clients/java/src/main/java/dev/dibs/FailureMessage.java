package dev.dibs;

import java.nio.charset.StandardCharsets;

/** What the waiters are told of an error: its message, cut to the contract's bound between two characters. */
final class FailureMessage {
  private static final int BYTES_MAX = 4_096;

  private FailureMessage() {}

  static String of(Throwable error) {
    String message = error.getMessage() == null ? error.toString() : error.getMessage();
    byte[] bytes = message.getBytes(StandardCharsets.UTF_8);
    int end = Math.min(bytes.length, BYTES_MAX);
    // The bytes of a character after its first begin with the bits 10.
    while (end < bytes.length && (bytes[end] & 0xc0) == 0x80) end -= 1;
    return new String(bytes, 0, end, StandardCharsets.UTF_8);
  }
}
