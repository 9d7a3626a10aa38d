import { appendFileSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ServiceError, status } from '@grpc/grpc-js';
import {
  Degraded,
  ExtendOutcome,
  Freshness,
  Intent,
  InvalidateMode,
  LeaseReason,
  PublishOutcome,
  Read,
  Stale,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../../support/caller.js';
import { SeededRandom } from '../../support/seeded-random.js';
import type { Entry, GetEntry } from './history.js';
import { UNDER_WAY_MS } from './lease-history.js';

// A process of clients that ask, rebuild, extend, publish and invalidate until it is stopped or killed. It records the
// answers. Arguments: targets of the replicas, path of the log, seed, number of clients.

const [targets = '', log = '', seed = '1', clients = '8'] = process.argv.slice(2);
const callers = targets.split(',').map((target) => new Caller(target));
const file = openSync(log, 'a');
const random = new SeededRandom(Number(seed));
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});
// The parent process has gone.
process.on('disconnect', () => process.exit(1));

const now = () => Number(process.hrtime.bigint()) / 1e6;
/** Writes synchronously, so a kill loses no answer. */
const write = (entry: Entry) => writeSync(file, `${JSON.stringify(entry)}\n`);
const word = (names: object, value: number, prefix: string) =>
  String(Reflect.get(names, value)).slice(prefix.length);

/** The tag of some keys, which are also invalidated by it. */
const TAG = 'tag';
const TAGGED = ['a', 'b'];

interface Hand {
  readonly namespace: string;
  readonly key: string;
  readonly name: string;
  readonly token: string;
  readonly fence: number;
  readonly expiresInMs: number;
}

async function live(name: string): Promise<void> {
  for (let request = 1; !stopping; request += 1) {
    await sleep(random.pick([0, 5, 20, 60]) * random.fraction());
    const namespace = random.pick(['red', 'blue']);
    const key = random.pick(['a', 'b', 'c', 'd', 'e', 'f']);
    if (random.below(12) === 0) await invalidate(namespace, key);
    else await ask(namespace, key, `${name}-${request}`);
  }
}

async function ask(namespace: string, key: string, requestId: string): Promise<void> {
  const waitMs = random.pick([0, 100, 500, 2_000]);
  const store = random.below(3) === 0;
  const refresh = random.below(10) === 0;
  const stale = random.below(3) === 0 ? Stale.STALE_FORBID : Stale.STALE_ALLOW;
  const options = { namespace, key, waitMs, requestId, stale, leaseMs: random.pick([300, 700, 1_500]) };
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const start = now();
    const replica = random.below(callers.length);
    const asked = { e: 'get' as const, replica, key: `${namespace}/${key}`, start, waitMs, store, refresh };
    const entry = await get(callers[replica] as Caller, asked, {
      ...options,
      read: store ? Read.READ_STORE : Read.READ_NEAR,
      intent: refresh ? Intent.INTENT_REFRESH : Intent.INTENT_REBUILD,
    });
    write(entry);
    if (entry.outcome === 'error') continue;
    const { token, fence = 0, expiresInMs = 0 } = entry;
    if (token !== undefined) await hold({ namespace, key, name: entry.key, token, fence, expiresInMs });
    return;
  }
}

type Asked = Pick<GetEntry, 'e' | 'replica' | 'key' | 'start' | 'waitMs' | 'store' | 'refresh'>;

async function get(
  caller: Caller,
  asked: Asked,
  request: Parameters<Caller['getOrLock']>[0],
): Promise<GetEntry> {
  try {
    const { outcome, degraded } = await caller.getOrLock(request, { deadlineMs: asked.waitMs + 1_500 });
    const said = { ...asked, end: now(), degraded: word(Degraded, degraded, 'DEGRADED_') };
    if (outcome?.$case === 'lease') {
      const { token, fence, expiresInMs, reason } = outcome.value;
      return {
        ...said,
        outcome: 'lease',
        token,
        fence,
        expiresInMs,
        reason: word(LeaseReason, reason, 'LEASE_REASON_'),
      };
    }
    if (outcome?.$case !== 'hit') return { ...said, outcome: outcome?.$case ?? 'error' };
    const { payload, freshness } = outcome.value;
    const text = payload?.$case === 'value' ? Buffer.from(payload.value).toString() : '';
    const [key = '', fence = '', token = ''] = text.split(' ');
    const fresh = freshness === Freshness.FRESHNESS_FRESH;
    return { ...said, outcome: 'hit', value: { key, fence: Number(fence), token }, fresh };
  } catch (error) {
    const code = status[(error as ServiceError).code] ?? String(error);
    return { ...asked, end: now(), outcome: 'error', code };
  }
}

async function hold(hand: Hand): Promise<void> {
  // Abandons the lease without a call, like a process that dies.
  if (random.below(12) === 0) return;
  const untilMs = now() + random.pick([5, 30, 100, 400, 900]) * (0.5 + random.fraction());
  while (now() < untilMs) {
    await sleep(Math.min(untilMs - now(), hand.expiresInMs / 3));
    if (now() < untilMs && (await extend(hand)) === 'LOST') return;
  }
  const { namespace, key, token, name, fence } = hand;
  write({ e: 'give_up', key: name, token, at: now() });
  if (random.below(10) === 0) {
    await settled(random.pick(callers).release({ namespace, key, token }, { deadlineMs: 2_000 }));
    return;
  }
  // The longest is longer than a replica may be behind.
  const ttlMs = random.pick([50, 200, 1_000, 8_000]);
  const start = now();
  const value = Buffer.from(`${name} ${fence} ${token}`);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const tags = TAGGED.includes(key) ? [TAG] : [];
    const request = { namespace, key, token, ttlMs, staleMs: random.pick([0, 500]), tags };
    const payload = { $case: 'value', value } as const;
    const reply = await settled(random.pick(callers).publish({ ...request, payload }, { deadlineMs: 2_000 }));
    if (reply === undefined) continue;
    const outcome = word(PublishOutcome, reply.outcome, 'PUBLISH_OUTCOME_');
    write({ e: 'publish', key: name, token, start, end: now(), outcome, ttlMs });
    return;
  }
}

async function extend({ namespace, key, name, token }: Hand): Promise<string> {
  const start = now();
  const reply = await settled(random.pick(callers).extend({ namespace, key, token }, { deadlineMs: 1_000 }));
  if (reply === undefined) return 'UNKNOWN';
  const outcome = word(ExtendOutcome, reply.outcome, 'EXTEND_OUTCOME_');
  write({ e: 'extend', key: name, token, start, end: now(), outcome, expiresInMs: reply.expiresInMs });
  return outcome;
}

async function invalidate(namespace: string, key: string): Promise<void> {
  const byTag = random.below(4) === 0;
  const keys = byTag ? TAGGED : [key];
  const mode = random.pick(['delete', 'mark_stale'] as const);
  const wire =
    mode === 'delete' ? InvalidateMode.INVALIDATE_MODE_DELETE : InvalidateMode.INVALIDATE_MODE_MARK_STALE;
  const start = now();
  const replica = random.below(callers.length);
  const say = (end: number, acknowledged: boolean) => {
    for (const one of keys)
      write({ e: 'invalidate', replica, key: `${namespace}/${one}`, mode, byTag, start, end, acknowledged });
  };
  say(start + UNDER_WAY_MS, false);
  const what = byTag ? { tags: [TAG] } : { keys };
  const reply = await settled(
    (callers[replica] as Caller).invalidate({ namespace, ...what, mode: wire }, { deadlineMs: 2_000 }),
  );
  if (reply !== undefined) say(now(), true);
}

const settled = <T>(reply: Promise<T>): Promise<T | undefined> => reply.catch(() => undefined);

await Promise.all(Array.from({ length: Number(clients) }, (_, at) => live(`${process.pid}-${at}`)));
for (const caller of callers) caller.close();
appendFileSync(file, '');
process.exit(0);
