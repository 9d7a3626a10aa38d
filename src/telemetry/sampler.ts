import type { OtelSampling } from '../config/otel-environment.js';

/** The flags at the end of a W3C traceparent. The last bit says that the caller's trace is recorded. */
const SAMPLED = /[13579bdf]$/;
const TRACEPARENT_LENGTH = 55;
/**
 * The last 56 bits of a trace id are random. They are compared as in OpenTelemetry's consistent sampling, so all
 * services with the same ratio keep the same traces.
 */
const RANDOM_DIGITS = 14;

/**
 * Decides before creating anything for a call. At one recorded call in a hundred, tracing costs what the other
 * ninety-nine pay. Returns whether to record the call with this traceparent (empty for none).
 */
export function samplerOf({ kind, parentBased, ratio }: OtelSampling): (traceparent: string) => boolean {
  const ofRoot = kind === 'always_on' ? 1 : kind === 'always_off' ? 0 : ratio;
  const ofTrace = (traceparent: string) =>
    ofRoot >= 1 ||
    (ofRoot > 0 && Number.parseInt(traceparent.slice(21, 21 + RANDOM_DIGITS), 16) >= (1 - ofRoot) * 2 ** 56);
  return (traceparent) => {
    if (traceparent.length !== TRACEPARENT_LENGTH) return Math.random() < ofRoot;
    return parentBased ? SAMPLED.test(traceparent) : ofTrace(traceparent);
  };
}
