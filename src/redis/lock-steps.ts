import type { LockReply, LockStep, TakeReply, TakeStep } from '../quorum/lock-node.js';
import { Refused, troubleOf } from './trouble.js';

/** The steps of a call as the single argument of lock-take and lock-free, and the reply of lock-take. */

const KINDS = { acquire: 'a', extend: 'x' } as const;
const REPLIES: ReadonlyMap<number, LockReply> = new Map([
  ['1'.charCodeAt(0), 'done'],
  ['0'.charCodeAt(0), 'held'],
  ['u'.charCodeAt(0), 'unmarked'],
]);
const ERROR = 'e'.charCodeAt(0);

/** Nodes that are asked for the same steps share one list, so it is packed only once. */
const packed = new WeakMap<readonly LockStep[], string>();

export function packTakes(steps: readonly TakeStep[]): string {
  return pack(steps, ({ kind, nonce, ttlMs, id }) => `${KINDS[kind]}${nonce} ${ttlMs} ${id}\n`);
}

export function packFrees(steps: readonly LockStep[]): string {
  return pack(steps, ({ nonce, id }) => `${nonce} ${id}\n`);
}

function pack<S extends LockStep>(steps: readonly S[], lineOf: (step: S) => string): string {
  let lines = packed.get(steps);
  if (lines === undefined) {
    lines = '';
    for (const step of steps) lines += lineOf(step);
    packed.set(steps, lines);
  }
  return lines;
}

/** One reply for each step. An unknown code is an error: it is no vote. */
export function readTakes(reply: Buffer, count: number): TakeReply[] {
  const errors = reply.length > count ? reply.toString('utf8', count).split('\n').slice(1) : [];
  const replies: TakeReply[] = [];
  for (let at = 0; at < count; at += 1) {
    const code = reply[at] ?? 0;
    if (code === ERROR) replies.push(refusal(errors.shift()));
    else replies.push(REPLIES.get(code) ?? new Error('the node answered a vote with something else'));
  }
  return replies;
}

function refusal(why = 'it does not say why'): Refused {
  return new Refused(troubleOf(new Error(why)));
}
