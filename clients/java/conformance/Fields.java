package dev.dibs.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.util.Locale;
import java.util.function.Function;

/** Reads the fields of a command. */
final class Fields {
  private static final BigInteger NANOS = BigInteger.valueOf(1_000_000_000);
  private static final BigInteger SECONDS_MAX = BigInteger.valueOf(Long.MAX_VALUE);

  private Fields() {}

  static boolean has(JsonObject fields, String name) {
    return fields.has(name) && !fields.get(name).isJsonNull();
  }

  static boolean is(JsonObject fields, String name) {
    return has(fields, name) && fields.get(name).getAsBoolean();
  }

  static String text(JsonObject fields, String name) {
    return fields.get(name).getAsString();
  }

  /** Milliseconds, as a number or as text: the nearest duration, or the longest one if there is none. */
  static Duration time(JsonObject fields, String name) {
    JsonPrimitive number = fields.getAsJsonPrimitive(name);
    BigInteger nanos = new BigDecimal(number.getAsString()).movePointRight(6).toBigInteger();
    BigInteger[] parts = nanos.divideAndRemainder(NANOS);
    if (parts[0].compareTo(SECONDS_MAX) > 0) return Duration.ofSeconds(Long.MAX_VALUE);
    return Duration.ofSeconds(parts[0].longValueExact(), parts[1].longValueExact());
  }

  static <E> E word(JsonObject fields, String name, Function<String, E> of) {
    return of.apply(text(fields, name).toUpperCase(Locale.ROOT));
  }

  static String[] texts(JsonObject fields, String name) {
    return fields.getAsJsonArray(name).asList().stream().map(JsonElement::getAsString).toArray(String[]::new);
  }
}
