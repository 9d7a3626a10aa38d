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
}

/** The call that asks for them all, and how the trace of each key names it and is told its answer. */
interface Asker {
  readonly call: Call;
  readonly span: string;
  told(answer: GetOrLockAnswer): Facts;
}

/** Asks for each key as its own call. Immediate answers come first, then each wait as it ends. */
export function askEach(
  { coordinator, tracing }: Edge,
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
  for (const [at, request] of requests.entries()) {
    const { key } = request;
    const one = calls[at] as Call;
    const { trace } = one;
    const answered = (answer: GetOrLockAnswer | Error) => {
      left -= 1;
      if (!(answer instanceof Error)) trace?.know(told(answer));
      settled({ key, answer }, left > 0);
      trace?.end(answer instanceof Error ? statusOf(answer, () => {}).code : status.OK);
    };
    trace?.about(key.namespace, key.key);
    let known: GetOrLockAnswer | undefined;
    try {
      known = coordinator.getOrLockAtOnce(request, one, answered);
    } catch (error) {
      answered(errorOf(error));
      continue;
    }
    if (known !== undefined) answered(known);
  }
}
