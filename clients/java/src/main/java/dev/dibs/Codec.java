package dev.dibs;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * How values become bytes and come back. What {@code encode} throws is a failure of the rebuild.
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

  /** Texts, as UTF-8. A text with half of a surrogate pair has none, and bytes that are none are not read as a text. */
  Codec<String> UTF_8 =
      new Codec<>() {
        @Override
        public byte[] encode(String value) {
          try {
            ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(value));
            return Arrays.copyOf(bytes.array(), bytes.limit());
          } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("the value has half of a surrogate pair, for which there is no UTF-8", error);
          }
        }

        @Override
        public String decode(byte[] bytes) {
          try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
          } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("the value is no UTF-8", error);
          }
        }
      };

  /**
   * JSON that clients in all languages read, by Jackson 2.x: {@code com.fasterxml.jackson.core:jackson-databind}, which
   * your build names. {@link JsonCodec} says how, and has more for generic types and for a mapper of your own.
   *
   * @param <V> what the values are
   * @param type a class or a record
   * @return the same one for the same class
   * @throws IllegalStateException where there is no Jackson
   */
  static <V> Codec<V> json(Class<V> type) {
    Jackson.require();
    return JsonCodec.of(type);
  }

  /**
   * The bytes of a value.
   *
   * @param value never null
   * @return as many bytes as the service takes, by default 1 MiB
   */
  byte[] encode(V value);

  /**
   * The value of bytes. Where it throws, the value counts as missing, and is rebuilt once.
   *
   * @param bytes a copy of your own; may be empty
   * @return never null
   */
  V decode(byte[] bytes);
}
