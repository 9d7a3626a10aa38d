package dev.dibs;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.dibs.SoundJson.UnsoundException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Objects;

/**
 * Values as JSON, by Jackson 2.x, which clients in all languages can read. Times are strings ("2025-01-31T12:00:00Z")
 * and need Jackson's module for them: modules on the class path are found. Fields that the class does not have are
 * ignored, so several versions of an application can share a cache. What JSON cannot represent, such as NaN, is an
 * error that names its place, before anything is stored.
 *
 * <p>Numbers above 2^53 are read exactly by all clients except the TypeScript client.
 *
 * @param <V> type of the values
 */
public final class JsonCodec<V> implements Codec<V> {
  private static final ObjectMapper MAPPER =
      JsonMapper.builder()
          .findAndAddModules()
          .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS, SerializationFeature.WRITE_DURATIONS_AS_TIMESTAMPS)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          // A missing number would become 0, and bytes after the value would be ignored.
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES, DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .build();

  /** Released together with its class. */
  private static final ClassValue<JsonCodec<?>> OF_CLASSES =
      new ClassValue<>() {
        @Override
        protected JsonCodec<?> computeValue(Class<?> type) {
          return new JsonCodec<>(MAPPER, MAPPER.constructType(type));
        }
      };

  private final ObjectMapper mapper;
  private final JavaType type;
  private final ObjectWriter writer;
  private final ObjectReader reader;

  private JsonCodec(ObjectMapper mapper, JavaType type) {
    this.mapper = mapper;
    this.type = type;
    this.writer = mapper.writerFor(type);
    this.reader = mapper.readerFor(type);
  }

  /**
   * For a class or a record.
   *
   * @param <V> type of the values
   * @param type not null
   * @return the same one for the same class
   */
  @SuppressWarnings("unchecked")
  public static <V> JsonCodec<V> of(Class<V> type) {
    return (JsonCodec<V>) OF_CLASSES.get(type);
  }

  /**
   * For a type with parameters: {@code JsonCodec.of(new TypeReference<List<User>>() {})}.
   *
   * @param <V> type of the values
   * @param type not null
   * @return equal to each other one of an equal type
   */
  public static <V> JsonCodec<V> of(TypeReference<V> type) {
    return new JsonCodec<>(MAPPER, MAPPER.constructType(type.getType()));
  }

  /**
   * The same with a mapper of your own, including its modules and features.
   *
   * @param other not changed afterwards
   * @return a copy
   */
  public JsonCodec<V> with(ObjectMapper other) {
    return new JsonCodec<>(Objects.requireNonNull(other, "other"), type);
  }

  @Override
  public byte[] encode(V value) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (JsonGenerator json = new SoundJson(mapper.getFactory().createGenerator(bytes))) {
      writer.writeValue(json, value);
    } catch (IOException error) {
      throw unwritable(error);
    }
    return bytes.toByteArray();
  }

  @Override
  public V decode(byte[] bytes) {
    V value;
    try {
      value = reader.readValue(bytes);
    } catch (IOException error) {
      throw new IllegalArgumentException("the value is not JSON of %s: %s".formatted(type, wordsOf(error)), error);
    }
    if (value == null) throw new IllegalArgumentException("the value is the JSON null, and no " + type);
    return value;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof JsonCodec<?> codec && mapper == codec.mapper && type.equals(codec.type);
  }

  @Override
  public int hashCode() {
    return 31 * System.identityHashCode(mapper) + type.hashCode();
  }

  @Override
  public String toString() {
    return "JsonCodec of " + type.toCanonical();
  }

  /** For error messages; {@code pointer} is empty for the value as a whole. */
  static String placeOf(String pointer) {
    return pointer.isEmpty() ? "the value" : "the value at " + pointer;
  }

  private static IllegalArgumentException unwritable(IOException error) {
    // Jackson wraps exceptions from within an object, to add the place.
    Throwable first = error.getCause() instanceof UnsoundException inner ? inner : error;
    if (first instanceof UnsoundException unsound) {
      return new IllegalArgumentException(unsound.getOriginalMessage(), error);
    }
    StringBuilder pointer = new StringBuilder();
    if (error instanceof JsonMappingException mapping) {
      for (JsonMappingException.Reference step : mapping.getPath()) {
        pointer.append('/').append(step.getFieldName() == null ? step.getIndex() : step.getFieldName());
      }
    }
    String message = "%s cannot be JSON: %s".formatted(placeOf(pointer.toString()), wordsOf(error));
    return new IllegalArgumentException(message, error);
  }

  /** Without the offset in the bytes and without the bytes themselves. */
  private static String wordsOf(IOException error) {
    return error instanceof JsonProcessingException known ? known.getOriginalMessage() : error.getMessage();
  }
}
