package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.dibs.testing.MemoryDibs;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

/** A call throws what its own rebuild declares, and no other checked exception. */
final class CheckedExceptionsTest extends OnService {
  /** Without {@code throws}: the compiler is the test. */
  private static String ofWhatThrowsNothing(Dibs dibs, String key) {
    String one = dibs.getOrRebuild(key, TEXT, () -> "Ada");
    String two = dibs.getOrRebuild(key, TEXT, lease -> lease.reason() + "");
    return one + two;
  }

  private static String ofAFile(Dibs dibs, String key, IOException fault) throws IOException {
    return dibs.getOrRebuild(key, TEXT, () -> { throw fault; });
  }

  private static String ofACallable(Dibs dibs, String key, Callable<String> callable) throws Exception {
    return dibs.getOrRebuild(key, TEXT, callable::call);
  }

  @Test
  void aCallDeclaresWhatItsRebuildThrows() throws Exception {
    FileNotFoundException fault = new FileNotFoundException("gone");
    for (Dibs dibs : new Dibs[] {client(true), new MemoryDibs()}) {
      assertEquals("AdaAda", ofWhatThrowsNothing(dibs, key));
      assertSame(fault, assertThrows(IOException.class, () -> ofAFile(dibs, key + " file", fault)));
      assertEquals("x", ofACallable(dibs, key + " callable", () -> "x"));
    }
  }

  /** Two calls of one place in the code declare the same; those of another place may not. */
  @Test
  void whoJoinsARebuildWrittenElsewhereGetsItsCheckedExceptionAsACause() throws Exception {
    DibsClient client = client(true);
    CountDownLatch running = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    IOException fault = new IOException("the disk is away");
    Options<String> options = TEXT.stale(Options.Stale.FORBID);
    Callable<CompletableFuture<String>> call =
        () ->
            client.getOrRebuildAsync(
                key,
                options,
                () -> {
                  running.countDown();
                  gate.await();
                  throw fault;
                });
    CompletableFuture<String> first = call.call();
    running.await();
    CompletableFuture<String> same = call.call();
    CompletableFuture<String> other = client.getOrRebuildAsync(key, options, () -> "never");
    gate.countDown();
    assertSame(fault, thrownBy(first));
    assertSame(fault, thrownBy(same));
    RebuildFailedException told = (RebuildFailedException) thrownBy(other);
    assertEquals("the disk is away", told.getMessage());
    assertSame(fault, told.getCause());
  }

  private static Throwable thrownBy(CompletableFuture<?> call) {
    return assertThrows(ExecutionException.class, call::get).getCause();
  }
}
