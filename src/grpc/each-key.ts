import { status } from '@grpc/grpc-js';
import { Call } from '../coordination/words/call.js';
import type { Key } from '../coordination/words/key.js';
import type { GetOrLockAnswer } from '../coordination/words/outcome.js';
import type { GetOrLock } from '../coordination/words/requests.js';
import type { Facts } from '../coordination/words/trace.js';
import { type Edge, errorOf, type Settled } from './answer.js';
import { statusOf } from './status.js';

/** The answer for one of many keys. */
export interface KeyAnswer {
  readonly key: Key;
  readonly answer: GetOrLockAnswer | Error;
  /** Its caller has left, and gets no answer. */
  readonly isGone: boolean;
}

/** The call that asks for all of them, and how the trace of each key names it and records its answer. */
interface Asker {
  readonly call: Call;
  readonly span: string;
  told(answer: GetOrLockAnswer): Facts;
}

/** Keys that are asked for before others have their turn. */
export const KEYS_AT_ONCE = 100;

/** Asks for each key as its own call. Immediate answers come first, then each wait as it ends. */
export function askEach(
  { coordinator, tracing, pace }: Edge,
  requests: readonly GetOrLock[],
  { call, span, told }: Asker,
  settled: Settled<KeyAnswer>,
): undefined {
  const { identity, deadlineMs, traceparent } = call;
  const calls = requests.map(
    () =>
      new Call(identity, deadlineMs, traceparent, call.trace && tracing?.call(span, call.trace.traceparent)),
  );
  call.onCancel(() => {
    for (const one of calls) one.cancel();
  });
  let left = requests.length;
  const ask = (request: GetOrLock, one: Call) => {
    const { key } = request;
    const { trace } = one;
    const answered = (answer: GetOrLockAnswer | Error) => {
      left -= 1;
      if (!(answer instanceof Error)) trace?.know(told(answer));
      const isGone = one.cancelled;
      settled({ key, answer, isGone }, left > 0);
      const code = answer instanceof Error ? statusOf(answer, () => {}).code : status.OK;
      trace?.end(isGone ? status.CANCELLED : code);
    };
    trace?.about(key.namespace, key.key);
    let known: GetOrLockAnswer | undefined;
    try {
      known = coordinator.getOrLockAtOnce(request, one, answered);
    } catch (error) {
      answered(errorOf(error));
      return;
    }
    if (known !== undefined) answered(known);
  };
  let at = 0;
  const next = () => {
    const some = requests.slice(at, at + KEYS_AT_ONCE);
    if (some.length === 0) return undefined;
    for (const [offset, request] of some.entries()) ask(request, calls[at + offset] as Call);
    at += some.length;
    return some.length;
  };
  next();
  if (at < requests.length) pace({ next });
}
