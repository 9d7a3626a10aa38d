import type { LockReply, TakeReply } from './lock-node.js';
import { failureOf, type Outcome } from './within.js';

/** The result of one step of a call: the node's reply, or why there is none. */
export type TakeAnswer = LockReply | Exclude<Outcome<never>, { readonly kind: 'done' }>;

/** Of the step at `at`, once its call has ended. */
export function answerAt(outcome: Outcome<readonly TakeReply[]>, at: number): TakeAnswer {
  if (outcome.kind !== 'done') return outcome;
  const reply = outcome.value[at];
  if (reply === undefined) return { kind: 'failed', why: 'the node did not answer this step' };
  return reply instanceof Error ? failureOf(reply) : reply;
}
