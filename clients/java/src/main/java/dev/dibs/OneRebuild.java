package dev.dibs;

import com.google.protobuf.ByteString;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * A user's rebuild of one key.
 *
 * @param owner the client, which its rebuild may not ask for the same key
 */
record OneRebuild<V>(Object owner, FullKey key, Options<V> options, RebuildFunction<V, ?> rebuild) implements Run.Body {
  @Override
  public CompletableFuture<ByteString> start(Run run, Executor executor, long waitNanos) {
    RunThread<ByteString> thread = new RunThread<>(() -> made(run), writtenAs());
    Runnable forget = run.stopped().onRaise(thread::stop);
    CompletableFuture<ByteString> made = thread.start(executor, waitNanos);
    made.whenComplete((value, error) -> forget.run());
    return made;
  }

  @Override
  public Class<?> writtenAs() {
    return SourceRebuild.writtenAs(rebuild);
  }

  private ByteString made(Run run) throws Exception {
    return RebuildChain.run(
        owner, Set.of(key), () -> Values.encoded(options, rebuild.rebuild(new RunOf<>(run, options.codec()))));
  }
}
