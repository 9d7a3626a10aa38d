package dev.dibs;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Converts values to bytes and back. An exception from {@code encode} is a failure of the rebuild.
 *
 * @param <V> type of the values
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

  /**
   * Strings as UTF-8. A string with an unpaired surrogate cannot be encoded, and bytes that are not UTF-8 cannot be
   * decoded.
   */
  Codec<String> UTF_8 =
      new Codec<>() {
        @Override
        public byte[] encode(String value) {
          try {
            ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(value));
            return Arrays.copyOf(bytes.array(), bytes.limit());
          } catch (CharacterCodingException error) {
            String message = "the value contains an unpaired surrogate, which UTF-8 does not have";
            throw new IllegalArgumentException(message, error);
          }
        }

        @Override
        public String decode(byte[] bytes) {
          try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
          } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("the value is not UTF-8", error);
          }
        }
      };

  /**
   * JSON that clients in all languages can read, by Jackson 2.x: your build must add
   * {@code com.fasterxml.jackson.core:jackson-databind}. {@link JsonCodec} documents the format, and supports generic
   * types and a mapper of your own.
   *
   * @param <V> type of the values
   * @param type a class or a record
   * @return the same one for the same class
   * @throws IllegalStateException if there is no Jackson
   */
  static <V> Codec<V> json(Class<V> type) {
    Jackson.require();
    return JsonCodec.of(type);
  }

  /**
   * The bytes of a value.
   *
   * @param value never null
   * @return at most the size that the service accepts, by default 1 MiB
   */
  byte[] encode(V value);

  /**
   * The value from its bytes. If it throws, the value counts as missing and is rebuilt once.
   *
   * @param bytes a copy, which you may modify; may be empty
   * @return never null
   */
  V decode(byte[] bytes);
}
