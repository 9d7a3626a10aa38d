package dev.dibs.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.Dibs;
import dev.dibs.DibsClient;
import dev.dibs.DibsClientBuilder;
import dev.dibs.Options;
import dev.dibs.RebuildFailedException;
import dev.dibs.RebuildFunction;
import dev.dibs.testing.MemoryDibs;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.springframework.cache.CacheManager;
import org.springframework.cache.annotation.CacheEvict;
import org.springframework.cache.annotation.CachePut;
import org.springframework.cache.annotation.Cacheable;
import org.springframework.cache.annotation.EnableCaching;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Spring's annotations on Dibs, in an application's context. */
final class DibsCacheTest {
  record User(long id, String name) {}

  /** What an application has. */
  static class Users {
    private final AtomicInteger loads = new AtomicInteger();

    /** By a method: what an application holds is Spring's proxy. */
    public int loads() {
      return loads.get();
    }

    @Cacheable(cacheNames = "users", sync = true)
    public User of(long id) throws IOException {
      if (id < 0) throw new IOException("no user " + id);
      return id == 0 ? null : new User(id, "v" + loads.incrementAndGet());
    }

    @Cacheable("users")
    public User alone(long id) {
      return new User(id, "v" + loads.incrementAndGet());
    }

    @Cacheable(cacheNames = "users", sync = true)
    public CompletableFuture<User> later(long id) {
      if (id < 0) return CompletableFuture.failedFuture(new IOException("no user " + id));
      return CompletableFuture.supplyAsync(() -> new User(id, "v" + loads.incrementAndGet()));
    }

    @Cacheable("names")
    public CompletableFuture<String> name(String key) {
      return CompletableFuture.completedFuture("v" + loads.incrementAndGet());
    }

    @CachePut(cacheNames = "users", key = "#user.id")
    public User save(User user) {
      return user;
    }

    @CacheEvict("users")
    public void drop(long id) {}

    @CacheEvict(cacheNames = "users", allEntries = true)
    public void dropAll() {}

    @Cacheable(cacheNames = "names", sync = true)
    public String pair(String one, int two) {
      return "never";
    }

    @Cacheable(cacheNames = "names", sync = true, keyGenerator = "dibsKeys")
    public String generated(String one, String two) {
      return one + "+" + two;
    }

    @Cacheable(cacheNames = "names", sync = true)
    public String nothing() {
      return "v" + loads.incrementAndGet();
    }
  }

  @Configuration
  @EnableCaching
  static class Application {
    @Bean
    CacheManager cacheManager(Dibs dibs) {
      Duration minute = Duration.ofMinutes(1);
      return DibsCacheManager.builder(dibs)
          .cache("users", Options.of(User.class, minute))
          .cache("names", Options.of(String.class, minute).namespace("names"))
          .build();
    }

    @Bean
    DibsKeyGenerator dibsKeys() {
      return new DibsKeyGenerator();
    }

    @Bean
    Users users() {
      return new Users();
    }
  }

  private final List<AnnotationConfigApplicationContext> contexts = new ArrayList<>();
  private final MemoryDibs memory = new MemoryDibs();

  @AfterEach
  void close() {
    contexts.forEach(AnnotationConfigApplicationContext::close);
  }

  private Users application(Dibs dibs) {
    AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
    contexts.add(context);
    context.registerBean(Dibs.class, () -> dibs);
    context.register(Application.class);
    context.refresh();
    return context.getBean(Users.class);
  }

  @Test
  void loadsOnceAndKeepsNullToo() throws Exception {
    Users users = application(memory);
    assertEquals(new User(7, "v1"), users.of(7));
    assertEquals(new User(7, "v1"), users.of(7));
    assertEquals(new User(7, "v1"), users.alone(7));
    assertNull(users.of(0));
    assertNull(users.of(0));
    memory.advance(Duration.ofMinutes(1));
    assertEquals(new User(7, "v2"), users.of(7));
    assertEquals(2, users.loads());
  }

  @Test
  void whatTheMethodThrowsIsThrownAsItIs() {
    Users users = application(memory);
    assertEquals("no user -1", assertThrows(IOException.class, () -> users.of(-1)).getMessage());
    assertThrows(RebuildFailedException.class, () -> users.of(-1));
  }

  @Test
  void putsAndEvictsByKeyAndAsAWhole() throws Exception {
    Users users = application(memory);
    users.save(new User(7, "saved"));
    assertEquals(new User(7, "saved"), users.of(7));
    users.drop(7);
    assertEquals(new User(7, "v1"), users.of(7));
    users.of(8);
    users.nothing();
    users.dropAll();
    assertEquals(new User(7, "v4"), users.of(7));
    assertEquals("v3", users.nothing());
  }

  @Test
  void futuresAreCachedByWhatTheyCompleteWith() throws Exception {
    Users users = application(memory);
    assertEquals(new User(7, "v1"), users.later(7).get());
    assertEquals(new User(7, "v1"), users.later(7).get());
    assertEquals("v2", users.name("k").get());
    assertEquals("v2", users.name("k").get());
    var error = assertThrows(ExecutionException.class, () -> users.later(-1).get()).getCause();
    assertEquals("no user -1", error.getMessage());
  }

  @Test
  void aKeyWhoseTextMayDifferIsRefused() {
    Users users = application(memory);
    var error = assertThrows(IllegalArgumentException.class, () -> users.pair("a", 1));
    assertTrue(error.getMessage().startsWith("key: the text of a org.springframework.cache.interceptor.SimpleKey"));
    assertEquals("a:b+c", users.generated("a:b", "c"));
    assertEquals("a+b:c", users.generated("a", "b:c"));
    assertEquals("a+null", users.generated("a", null));
    assertEquals("a+\\0", users.generated("a", "\\0"));
  }

  @Test
  void aKeyOfOneParameterIsItsText() {
    DibsKeyGenerator keys = new DibsKeyGenerator();
    assertEquals("a:b", keys.generate(this, null, "a:b"));
    List<String> parameters = new ArrayList<>(List.of("0", "\\0", "\\\\0", "\\\\\\0"));
    parameters.add(null);
    assertEquals(5, parameters.stream().map(one -> keys.generate(this, null, new Object[] {one})).distinct().count());
  }

  /** The keys of all caches of a namespace are in one place. */
  @Test
  void cachesShareNoKeys() {
    Options<String> text = Options.of(String.class, Duration.ofMinutes(1));
    DibsCacheManager.Builder builder = DibsCacheManager.builder(memory);
    List<String> names = List.of("a", "a:b", "a\\", "a\\:b");
    names.forEach(name -> builder.cache(name, text));
    DibsCacheManager manager = builder.build();
    for (String name : names) {
      manager.getCache(name).put("b:c", name);
      manager.getCache(name).put("c", name);
    }
    for (String name : names) {
      for (String key : List.of("b:c", "c")) assertEquals(name, manager.getCache(name).get(key, String.class));
    }
  }

  /** A rebuild that no caller waits for is interrupted, and its lease is released when it ends. */
  @Test
  void aFutureIsLeftWhenItsRebuildIsInterrupted() throws Exception {
    Thread[] runner = new Thread[1];
    Dibs interrupting =
        (Dibs) Proxy.newProxyInstance(Dibs.class.getClassLoader(), new Class<?>[] {Dibs.class}, (self, method, given) -> {
          if (method.isDefault()) return InvocationHandler.invokeDefault(self, method, given);
          runner[0] = new Thread(() -> {
            try {
              ((RebuildFunction<?, ?>) given[2]).rebuild(null);
            } catch (Exception error) {
              // As expected.
            }
          });
          runner[0].setDaemon(true);
          runner[0].start();
          return new CompletableFuture<>();
        });
    Options<String> text = Options.of(String.class, Duration.ofMinutes(1));
    DibsCacheManager manager = DibsCacheManager.builder(interrupting).cache("a", text).build();
    CompletableFuture<String> loading = new CompletableFuture<>();
    manager.getCache("a").retrieve("k", () -> loading);
    runner[0].interrupt();
    runner[0].join(30_000);
    assertFalse(runner[0].isAlive());
    assertTrue(loading.isCancelled());
  }

  @Test
  void aManagerKnowsItsCaches() {
    var builder = DibsCacheManager.builder(memory).cache("a", Options.of(String.class, Duration.ofMinutes(1)));
    assertThrows(IllegalArgumentException.class, () -> builder.cache("a", Options.of(Long.class, Duration.ofMinutes(1))));
    DibsCacheManager manager = builder.build();
    assertEquals(List.of("a"), List.copyOf(manager.getCacheNames()));
    assertNull(manager.getCache("b"));
    assertSame(memory, manager.getCache("a").getNativeCache());
    assertTrue(!manager.getCache("a").evictIfPresent("k"));
    manager.getCache("a").put("k", "v");
    assertTrue(manager.getCache("a").evictIfPresent("k"));
  }

  /** Two applications, each with a client of its own: as two processes. */
  @Test
  void oneCallerOfTheFleetLoadsWithSync() throws Exception {
    ProcessBuilder builder = new ProcessBuilder("node", "dist/main.js").directory(Path.of("../../..").toFile());
    builder.environment().putAll(Map.of("DIBS_LISTEN", "127.0.0.1:0", "DIBS_HTTP_LISTEN", "127.0.0.1:0"));
    Process service = builder.redirectError(ProcessBuilder.Redirect.DISCARD).start();
    Runtime.getRuntime().addShutdownHook(new Thread(service::destroyForcibly));
    var out = new BufferedReader(new InputStreamReader(service.getInputStream(), StandardCharsets.UTF_8));
    Matcher address = Pattern.compile("grpc=(\\S+)").matcher(out.readLine());
    assertTrue(address.find());
    DibsClientBuilder client = DibsClient.builder().target(address.group(1)).connectTimeout(Duration.ofSeconds(30));
    try (DibsClient one = client.build();
        DibsClient two = client.build()) {
      List<Users> applications = List.of(application(one), application(two));
      List<CompletableFuture<User>> calls = new ArrayList<>();
      for (int call = 0; call < 20; call += 1) {
        Users users = applications.get(call % 2);
        calls.add(CompletableFuture.supplyAsync(() -> {
          try {
            return users.of(7);
          } catch (IOException error) {
            throw new AssertionError(error);
          }
        }));
      }
      for (CompletableFuture<User> call : calls) assertEquals(new User(7, "v1"), call.get());
      assertEquals(1, applications.stream().mapToInt(users -> users.loads()).sum());
    } finally {
      service.destroyForcibly();
    }
  }
}
