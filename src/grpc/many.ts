import { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import type { Key } from '../coordination/key.js';
import type { Lease } from '../coordination/outcome.js';
import type { GetOrLock } from '../coordination/requests.js';
import { encodeGetOrLock } from './encode.js';
import type { GetOrLockManyResponse } from './generated/dibs/v1/coordinator.js';
import { callErrorOf } from './status.js';

/** What a server stream is asked here. */
export interface ResponseStream {
  /** False: it holds as much as it should, and says `drain` when it has got rid of that. */
  write(response: GetOrLockManyResponse): boolean;
  once(event: 'drain', listener: () => void): unknown;
  end(): unknown;
}

export interface ManyParts {
  readonly coordinator: Pick<Coordinator, 'getOrLock' | 'giveBack'>;
  unexpected(cause: unknown): void;
}

/**
 * Asks for each key, and streams each answer as it comes: what is known at once first, then each wait as it
 * ends. A slow reader holds up its own stream and nothing else; what it has not been sent when it goes away
 * is given back. Resolves when the stream has ended.
 */
export async function answerMany(
  requests: readonly GetOrLock[],
  call: Call,
  stream: ResponseStream,
  { coordinator, unexpected }: ManyParts,
): Promise<void> {
  const calls = requests.map(() => new Call(call.identity, call.deadlineMs, call.traceparent, call.trace));
  let gone = () => {};
  const cancelled = new Promise<void>((resolve) => {
    gone = resolve;
  });
  call.onCancel(() => {
    for (const one of calls) one.cancel();
    gone();
  });
  let sent: Promise<unknown> = Promise.resolve();
  const send = (response: GetOrLockManyResponse, key: Key, lease?: Lease) => {
    sent = sent.then(async () => {
      if (call.cancelled) {
        if (lease !== undefined) await coordinator.giveBack(key, lease);
      } else if (!stream.write(response)) {
        await Promise.race([new Promise<void>((resolve) => stream.once('drain', resolve)), cancelled]);
      }
    });
  };
  const answers = requests.map(async (request, at) => {
    const { key } = request;
    try {
      const answer = await coordinator.getOrLock(request, calls[at] as Call);
      const response = {
        key: key.key,
        result: { $case: 'response', value: encodeGetOrLock(answer) },
      } as const;
      send(response, key, answer.outcome.kind === 'lease' ? answer.outcome : undefined);
    } catch (error) {
      if (call.cancelled) return;
      send({ key: key.key, result: { $case: 'error', value: callErrorOf(error, unexpected) } }, key);
    }
  });
  await Promise.all(answers);
  await sent;
  stream.end();
}
