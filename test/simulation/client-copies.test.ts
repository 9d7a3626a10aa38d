import { beforeEach, describe, expect, it } from 'vitest';
import type { StorePublish } from '../../src/coordination/ports/value-store.js';
import { keyOf } from '../../src/coordination/words/key.js';
import type { SessionCall } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { encodeToken } from '../../src/grpc/token.js';
import { ClientCopies } from './client-copies.js';
import { Judge } from './judge.js';
import type { SimReplica } from './sim-replica.js';

// A caller joins a rebuild of its own process after a tag of the value was invalidated. Whether it may get the value
// depends on what the replica that took the value knew.

const KEY = keyOf('red', 'a');
const NONCE = '000001aaaaaaaaaaaaaaaa';
const [THERE, ELSEWHERE] = [{}, {}] as [SimReplica, SimReplica];

let judge: Judge;
let copies: ClientCopies;
beforeEach(() => {
  judge = new Judge(
    () => 1_000,
    () => 1_000,
  );
  copies = new ClientCopies(judge, 'k0', new Set());
});

const token = encodeToken(KEY, { kind: 'armed', nonce: NONCE, fence: 1, leaseMs: 1_000 });
const way = (replica: SimReplica) => ({ replica, sentAt: judge.now(), isOverSession: false });
const named = { namespace: KEY.namespace, key: KEY.key };

function armed(): void {
  judge.oldValues.given(KEY.id, NONCE);
  judge.oldValues.tagged(NONCE, ['x']);
}

function leased(): void {
  armed();
  handedOut();
}

function handedOut(): void {
  const lease = { token, fence: 1, previous: undefined };
  copies.answered('getOrLock', named, { outcome: { $case: 'lease', value: lease } }, way(THERE));
}

const invalidated = () =>
  judge.oldValues.stamped(KEY.namespace, { tags: ['x'], all: false, mode: 'delete', keepMs: 1 } as never);

function brokenSession({ isUsed }: { isUsed: boolean }): void {
  const session = copies.witness(ELSEWHERE);
  if (isUsed) session.sent({ id: 1, request: undefined } as SessionCall);
  session.ended();
}

/** A caller arrives, the value is published, and the caller gets it. Returns the broken invariants. */
function joinedAndGiven(takenBy: SimReplica | undefined): string[] {
  const came = { at: judge.now(), ms: 1_000 };
  judge.oldValues.published(KEY.id, { nonce: NONCE, tags: ['x'], ttlMs: 1_000 } as unknown as StorePublish);
  if (takenBy !== undefined) copies.answered('publish', { ...named, token }, {}, way(takenBy));
  const { id, namespace } = KEY;
  copies.given({ id, namespace, nonce: NONCE, came, ownNonce: undefined, isNear: false, fresh: false });
  return judge.violations.map(({ invariant }) => invariant);
}

describe('a caller that joined a rebuild', () => {
  it('may get a value that was stored by a replica one wake behind, even if another replica knows of the change', () => {
    leased();
    judge.oldValues.woken(ELSEWHERE, invalidated());
    expect(joinedAndGiven(THERE)).toEqual([]);
  });

  it('may not get a value if the replica knew of the change, by a wake or by its own answer', () => {
    leased();
    judge.oldValues.arrived(THERE, invalidated());
    expect(joinedAndGiven(THERE)).toEqual(['INV-15']);
  });

  it('may not get a value that changed before the channel of the replica was lost', () => {
    leased();
    invalidated();
    judge.oldValues.channelDisconnected(THERE);
    expect(joinedAndGiven(THERE)).toEqual(['INV-15']);
  });

  it('may not get a value if a session with calls has broken since its lease', () => {
    leased();
    invalidated();
    brokenSession({ isUsed: true });
    expect(joinedAndGiven(THERE)).toEqual(['INV-15']);
  });

  it('may get a value if a session without calls has broken: no copy depends on what it reports', () => {
    leased();
    invalidated();
    brokenSession({ isUsed: false });
    expect(joinedAndGiven(THERE)).toEqual([]);
  });

  it('may not get a value whose publish has no answer', () => {
    leased();
    invalidated();
    expect(joinedAndGiven(undefined)).toEqual(['INV-15']);
  });
});

describe('a value that was not stored', () => {
  it('dates from the moment when the lease reached the client', () => {
    const shown = () => {
      const cameAt = judge.now();
      return judge.oldValues.ofValue(THERE, { id: KEY.id, nonce: NONCE, fresh: true, cameAt });
    };
    armed();
    judge.oldValues.arrived(THERE, invalidated());
    handedOut();
    expect(shown()).toBeUndefined();
    judge.oldValues.arrived(THERE, invalidated());
    expect(shown()).toContain('arrived before the call came');
  });
});
