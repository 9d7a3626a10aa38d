package dev.dibs;

import dev.dibs.Transport.Terms;
import dev.dibs.v1.InvalidateMode;
import dev.dibs.v1.InvalidateRequest;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** One invalidation, split into as many requests as the contract's bounds require. */
final class Invalidator {
  private static final int KEYS_MAX = 1_000;
  private static final int TAGS_MAX = 16;

  private final Parts parts;

  Invalidator(Parts parts) {
    this.parts = parts;
  }

  /** Fails with a {@link DibsStatusException}; throws one if bounds are violated. */
  CompletableFuture<InvalidateResult> invalidate(Invalidation what) {
    InvalidateResult none = new InvalidateResult(0, 0);
    if (!what.all() && what.keys().isEmpty() && what.tags().isEmpty()) return CompletableFuture.completedFuture(none);
    String namespace = namespace(what);
    refuseBroken(what, namespace);
    CompletableFuture<InvalidateResult> result = new CompletableFuture<>();
    next(requests(what, namespace).iterator(), none)
        .whenComplete(
            (done, error) -> {
              // Also on failure, because it may have been applied. Before the caller is notified, because it may call
              // again.
              arrived(what);
              Futures.settle(result, done, error);
            });
    // A caller that leaves must not see the old value either: the invalidation goes on, and may have been applied.
    result.whenComplete((done, error) -> {
      if (result.isCancelled()) arrived(what);
    });
    return result;
  }

  /** One request after the other. */
  private CompletableFuture<InvalidateResult> next(Iterator<InvalidateRequest> requests, InvalidateResult soFar) {
    if (!requests.hasNext()) return CompletableFuture.completedFuture(soFar);
    Terms terms = Terms.within(Transport.DEADLINE, parts.tracing().ofCaller("").traceparent());
    return parts
        .transport()
        .call(Method.INVALIDATE, requests.next(), terms)
        .thenCompose(
            response -> {
              long values = soFar.keysInvalidated() + response.getKeysInvalidated();
              long leases = soFar.leasesVoided() + response.getLeasesVoided();
              return next(requests, new InvalidateResult(values, leases));
            });
  }

  /** Copies in this process are older than the change. */
  void arrived(Invalidation what) {
    parts.changes().invalidated(what, namespace(what));
  }

  private String namespace(Invalidation what) {
    return what.namespace().isEmpty() ? parts.namespace() : what.namespace();
  }

  private static void refuseBroken(Invalidation what, String namespace) {
    Bounds.text("namespace", namespace);
    what.keys().forEach(key -> Bounds.text("keys", key));
    what.tags().forEach(tag -> Bounds.text("tags", tag));
  }

  private static List<InvalidateRequest> requests(Invalidation what, String namespace) {
    List<InvalidateRequest> requests = new ArrayList<>(1);
    int keys = what.keys().size();
    int tags = what.tags().size();
    for (int key = 0, tag = 0; requests.isEmpty() || key < keys || tag < tags; key += KEYS_MAX, tag += TAGS_MAX) {
      InvalidateMode mode =
          what.markStale() ? InvalidateMode.INVALIDATE_MODE_MARK_STALE : InvalidateMode.INVALIDATE_MODE_DELETE;
      requests.add(
          InvalidateRequest.newBuilder()
              .setNamespace(namespace)
              .addAllKeys(part(what.keys(), key, KEYS_MAX))
              .addAllTags(part(what.tags(), tag, TAGS_MAX))
              .setAll(what.all())
              .setMode(mode)
              .build());
    }
    return requests;
  }

  private static List<String> part(List<String> all, int from, int length) {
    return from >= all.size() ? List.of() : all.subList(from, Math.min(all.size(), from + length));
  }
}
