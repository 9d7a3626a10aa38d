package dev.dibs;

import java.nio.charset.StandardCharsets;

/**
 * How values become bytes and come back. What it throws ends the call that it was used for.
 *
 * @param <V> what the values are
 */
public interface Codec<V> {
  /** Values that are bytes already. */
  Codec<byte[]> BYTES =
      new Codec<>() {
        @Override
        public byte[] encode(byte[] value) {
          return value;
        }

        @Override
        public byte[] decode(byte[] bytes) {
          return bytes;
        }
      };

  /** Texts, as UTF-8. */
  Codec<String> UTF_8 =
      new Codec<>() {
        @Override
        public byte[] encode(String value) {
          return value.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public String decode(byte[] bytes) {
          return new String(bytes, StandardCharsets.UTF_8);
        }
      };

  /**
   * The bytes of a value.
   *
   * @param value never null
   * @return as many bytes as the service takes, by default 1 MiB
   */
  byte[] encode(V value);

  /**
   * The value of bytes.
   *
   * @param bytes nobody else's; may be empty
   * @return never null
   */
  V decode(byte[] bytes);
}
