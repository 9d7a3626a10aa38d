package dev.dibs.conformance;

import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import dev.dibs.Codec;
import java.nio.charset.StandardCharsets;

/** Strings as JSON. They are reported as bytes, so that the adapter has one type of value. */
final class JsonCodec implements Codec<byte[]> {
  static final JsonCodec TEXTS = new JsonCodec();

  /** The bytes are not a JSON string. */
  static final class UndecodableException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    UndecodableException(RuntimeException cause) {
      super(cause);
    }
  }

  @Override
  public byte[] encode(byte[] value) {
    String text = new String(value, StandardCharsets.UTF_8);
    return new JsonPrimitive(text).toString().getBytes(StandardCharsets.UTF_8);
  }

  @Override
  public byte[] decode(byte[] bytes) {
    String json = Codec.UTF_8.decode(bytes);
    try {
      // The parser is lenient: it would accept a word without quotation marks as a string.
      if (!json.startsWith("\"")) throw new IllegalArgumentException("no JSON text");
      return JsonParser.parseString(json).getAsString().getBytes(StandardCharsets.UTF_8);
    } catch (RuntimeException error) {
      throw new UndecodableException(error);
    }
  }
}
