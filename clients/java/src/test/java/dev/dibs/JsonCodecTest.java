package dev.dibs;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.DoubleNode;
import dev.dibs.testing.MemoryDibs;
import java.io.File;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Values as JSON: what other languages read, and what is refused before anything is stored. */
final class JsonCodecTest {
  record User(long id, String name) {}

  record Scored(User user, List<Map<String, Object>> rounds, double[] scores) {}

  record Dated(User user, List<Instant> seen) {}

  private static final User ADA = new User(42, "Ada");
  private static final Duration TTL = Duration.ofMinutes(1);

  private static <V> String written(Codec<V> codec, V value) {
    return new String(codec.encode(value), UTF_8);
  }

  private static <V> V read(Codec<V> codec, String json) {
    return codec.decode(json.getBytes(UTF_8));
  }

  private static <V> String refused(Codec<V> codec, V value) {
    return assertThrows(IllegalArgumentException.class, () -> codec.encode(value)).getMessage();
  }

  @Test
  void writesAndReadsWhatAllClientsDo() {
    Codec<User> users = Codec.json(User.class);
    assertEquals("{\"id\":42,\"name\":\"Ada\"}", written(users, ADA));
    assertEquals(ADA, read(users, " {\"name\": \"Ada\", \"id\": 42, \"since\": 1} "));
    Codec<List<User>> lists = JsonCodec.of(new TypeReference<List<User>>() {});
    assertEquals(List.of(ADA), read(lists, written(lists, List.of(ADA))));
    assertEquals("\"2025-01-31T12:00:00.000+00:00\"", written(Codec.json(Date.class), new Date(1738324800000L)));
    assertEquals("9007199254740993", written(Codec.json(Long.class), 9007199254740993L));
  }

  @Test
  void callsWithEqualCodecsAreEqualCalls() {
    assertSame(Codec.json(User.class), Codec.json(User.class));
    Codec<List<User>> one = JsonCodec.of(new TypeReference<List<User>>() {});
    assertEquals(one, JsonCodec.of(new TypeReference<List<User>>() {}));
    assertEquals(one.hashCode(), JsonCodec.of(new TypeReference<List<User>>() {}).hashCode());
    assertNotEquals(one, JsonCodec.of(new TypeReference<List<Long>>() {}));
    assertNotEquals(Codec.json(User.class), JsonCodec.of(User.class).with(new ObjectMapper()));
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
  void numbersThatJsonDoesNotHaveAreRefusedByTheirPlace(double number) {
    String why = ": " + number + " is a number that JSON does not have";
    Codec<Scored> codec = Codec.json(Scored.class);
    assertEquals("the value" + why, refused(Codec.json(Double.class), number));
    assertEquals("the value" + why, refused(Codec.json(Float.class), (float) number));
    assertEquals("the value at /scores/2" + why, refused(codec, new Scored(ADA, List.of(), new double[] {0, 1, number})));
    List<Map<String, Object>> rounds = List.of(Map.of(), Map.of("best", new float[] {1, (float) number}));
    assertEquals("the value at /rounds/1/best/1" + why, refused(codec, new Scored(ADA, rounds, null)));
    rounds = List.of(Map.of("tree", DoubleNode.valueOf(number)));
    assertEquals("the value at /rounds/0/tree" + why, refused(codec, new Scored(ADA, rounds, null)));
    assertEquals("[0.0,1.5]", written(Codec.json(double[].class), new double[] {0, 1.5}));
  }

  @Test
  void anInstantWithoutItsModuleIsRefusedByItsPlace() {
    String message = refused(Codec.json(Dated.class), new Dated(ADA, List.of(Instant.EPOCH)));
    assertTrue(message.startsWith("the value at /seen/0 cannot be JSON: Java 8 date/time type"), message);
    assertTrue(message.contains("jackson-datatype-jsr310"), message);
  }

  @Test
  void halfOfASurrogatePairIsRefused() {
    String why = "contains an unpaired surrogate, which UTF-8 does not have";
    assertEquals("the value at /name: " + why, refused(Codec.json(User.class), new User(1, "\ud83d")));
    assertEquals("the value at /0: " + why, refused(Codec.json(char[][].class), new char[][] {{'x', '\ud83d'}}));
    Codec<char[]> chars = Codec.json(char[].class);
    assertEquals("\ud83d\ude00", new String(chars.decode(chars.encode("\ud83d\ude00".toCharArray()))));
    Codec<Map<String, Integer>> maps = JsonCodec.of(new TypeReference<Map<String, Integer>>() {});
    assertTrue(refused(maps, Map.of("\ud83d", 1)).endsWith(": a name in it " + why));
    assertEquals("\ud83d\ude00", read(Codec.json(String.class), written(Codec.json(String.class), "\ud83d\ude00")));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "null", "{", "[]", "{\"id\":null,\"name\":\"Ada\"}", "{\"id\":1} 2", "{\"id\":1,\"id\":2}"})
  void whatIsNotTheValueIsNotReadAsOne(String json) {
    assertThrows(IllegalArgumentException.class, () -> read(Codec.json(User.class), json));
  }

  @Test
  void aMapperOfOnesOwnDecidesWhatIsItsOwn() {
    ObjectMapper strict = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);
    Codec<User> codec = JsonCodec.of(User.class).with(strict);
    assertThrows(IllegalArgumentException.class, () -> read(codec, "{\"id\":1,\"since\":1}"));
    assertThrows(IllegalArgumentException.class, () -> JsonCodec.of(Double.class).with(strict).encode(Double.NaN));
  }

  @Test
  void whatJsonCannotCarryIsNeverStored() throws Exception {
    try (MemoryDibs dibs = new MemoryDibs()) {
      Options<Double> options = Options.of(Double.class, TTL);
      assertThrows(IllegalArgumentException.class, () -> dibs.getOrRebuild("k", options, () -> Double.NaN));
      dibs.advance(Duration.ofSeconds(2));
      assertEquals(1, dibs.getOrRebuild("k", options, () -> 1.0));
    }
  }

  @Test
  void withoutJacksonAllElseWorksAndTheErrorSaysWhatToAdd() throws Exception {
    List<URL> urls = new ArrayList<>(List.of(Path.of("target/classes/").toUri().toURL()));
    for (String path : Files.readString(Path.of("target/classpath")).strip().split(File.pathSeparator)) {
      if (!path.contains("jackson")) urls.add(Path.of(path).toUri().toURL());
    }
    try (var loader = new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader())) {
      // All that a framework may look at by reflection.
      for (String name : List.of("Codec", "Options", "Dibs", "DibsClient", "testing.MemoryDibs")) {
        assertTrue(loader.loadClass("dev.dibs." + name).getMethods().length > 0);
      }
      var of = loader.loadClass("dev.dibs.Options").getMethod("of", Class.class, Duration.class);
      var error = assertThrows(InvocationTargetException.class, () -> of.invoke(null, String.class, TTL)).getCause();
      assertEquals(IllegalStateException.class, error.getClass());
      assertTrue(error.getMessage().contains("add com.fasterxml.jackson.core:jackson-databind 2.x"), error.getMessage());
    }
  }
}
