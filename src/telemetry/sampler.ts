import type { OtelSampling } from '../config/otel-environment.js';

/** Flags of a W3C traceparent, at its end: the last bit says that the caller's trace is recorded. */
const SAMPLED = /[13579bdf]$/;
const TRACEPARENT_LENGTH = 55;
/**
 * The trace id's last 56 bits are random, and compared as OpenTelemetry's consistent sampling does, so that
 * every service that asks for the same ratio keeps the same traces.
 */
const RANDOM_DIGITS = 14;

/**
 * Decides before anything is made for a call that is not to be recorded: at one call in a hundred, what the
 * other ninety-nine cost is what tracing costs. Returns whether the call with this traceparent (empty for
 * none) is to be recorded.
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
