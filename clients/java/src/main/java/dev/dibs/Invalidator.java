package dev.dibs;

import dev.dibs.Transport.Terms;
import dev.dibs.v1.InvalidateMode;
import dev.dibs.v1.InvalidateRequest;
import dev.dibs.v1.InvalidateResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;

/** One invalidation, in as many requests as the contract's bounds ask for. */
final class Invalidator {
  private static final int KEYS_MAX = 1_000;
  private static final int TAGS_MAX = 16;

  private final Parts parts;

  Invalidator(Parts parts) {
    this.parts = parts;
  }

  InvalidateResult invalidate(Invalidation what) {
    if (!what.all() && what.keys().isEmpty() && what.tags().isEmpty()) return new InvalidateResult(0, 0);
    String namespace = what.namespace().isEmpty() ? parts.namespace() : what.namespace();
    refuseBroken(what, namespace);
    long values = 0;
    long leases = 0;
    try {
      for (InvalidateRequest request : requests(what, namespace)) {
        InvalidateResponse response = call(request);
        values += response.getKeysInvalidated();
        leases += response.getLeasesVoided();
      }
    } finally {
      // Also where it failed: it may have been done.
      parts.changes().invalidated(what, namespace);
    }
    return new InvalidateResult(values, leases);
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

  private InvalidateResponse call(InvalidateRequest request) {
    Terms terms = Terms.within(Transport.DEADLINE, parts.tracing().ofCaller("").traceparent());
    try {
      return parts.transport().call(Method.INVALIDATE, request, terms).get();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw DibsStatusException.cancelled("the caller was interrupted");
    } catch (ExecutionException error) {
      throw DibsStatusException.of(error.getCause());
    }
  }
}
