package dev.dibs;

import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** A transport of a test that makes no calls for many keys. */
abstract class SingleCalls implements Transport {
  @Override
  public final CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer) {
    throw new UnsupportedOperationException();
  }

  @Override
  public final void close() {}
}
