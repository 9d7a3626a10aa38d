package dev.dibs.conformance;

import static dev.dibs.conformance.Fields.has;
import static dev.dibs.conformance.Fields.is;
import static dev.dibs.conformance.Fields.text;
import static dev.dibs.conformance.Fields.texts;
import static dev.dibs.conformance.Fields.time;
import static dev.dibs.conformance.Fields.word;

import com.google.gson.JsonObject;
import dev.dibs.Codec;
import dev.dibs.OnUnavailable;
import dev.dibs.Options;
import java.time.Duration;

/** The options of one call in a scenario. */
final class CallOptions {
  private CallOptions() {}

  static Options<byte[]> of(JsonObject fields) {
    boolean isJson = has(fields, "codec") && text(fields, "codec").equals("json");
    Options<byte[]> options = Options.of(isJson ? JsonCodec.TEXTS : Codec.BYTES, ttl(fields));
    if (has(fields, "stale_ms")) options = options.staleTtl(time(fields, "stale_ms"));
    if (has(fields, "absent_ttl_ms")) options = options.absentTtl(time(fields, "absent_ttl_ms"));
    if (has(fields, "tags")) options = options.tags(texts(fields, "tags"));
    if (has(fields, "namespace")) options = options.namespace(text(fields, "namespace"));
    if (has(fields, "wait_ms")) options = options.maxWait(time(fields, "wait_ms"));
    if (has(fields, "lease_ms")) options = options.lease(time(fields, "lease_ms"));
    if (has(fields, "stale")) options = options.stale(word(fields, "stale", Options.Stale::valueOf));
    if (has(fields, "read")) options = options.read(word(fields, "read", Options.Read::valueOf));
    if (is(fields, "refresh")) options = options.refresh();
    if (is(fields, "stale_if_error")) options = options.staleIfError();
    if (has(fields, "revalidate")) {
      options = options.revalidate(word(fields, "revalidate", Options.Revalidate::valueOf));
    }
    if (has(fields, "on_unavailable")) {
      options = options.onUnavailable(word(fields, "on_unavailable", OnUnavailable::valueOf));
    }
    if (has(fields, "traceparent")) options = options.traceparent(text(fields, "traceparent"));
    return options;
  }

  /** A read has none. */
  private static Duration ttl(JsonObject fields) {
    return has(fields, "ttl_ms") ? time(fields, "ttl_ms") : Duration.ofMinutes(1);
  }
}
