import type {
  ArmRequest,
  ReadRequest,
  StorePublish,
  ValueStore,
} from '../../src/coordination/ports/value-store.js';
import { keyOf } from '../../src/coordination/words/key.js';

let turns = 0;

const ARM: Omit<ArmRequest, 'nonce'> = {
  expiresInMs: 60_000,
  leaseMs: 60_000,
  fenceRead: 0,
  valueFenceRead: 0,
  quorumLost: false,
  group: 'g',
  silenceMs: 0,
  holder: 'crowd',
  traceparent: '',
  requestKey: '',
  reason: 'miss',
  clock: '',
  keepMs: 60_000,
};
const PUBLISH: Omit<StorePublish, 'nonce'> = {
  fence: 1,
  payload: { kind: 'absent' },
  ttlMs: 60_000,
  staleMs: 0,
  tags: [],
  keepMs: 60_000,
};

/** The id of a key that the crowd uses. */
export const crowdId = (name: string) => keyOf('the crowd', name).id;

/**
 * Keys that hold a foreign type: one for each kind of step, because two steps of one key would go into different calls.
 */
export interface Foreign {
  readonly read: string;
  readonly arm: string;
  readonly publish: string;
}

/**
 * A store where each read, arm and publish is batched with steps of others, before it and after it. Some of these
 * succeed, and one of each kind fails, on a key of `foreign`.
 */
export function crowded(store: ValueStore, foreign: Foreign): ValueStore {
  const amid = async <T>(own: () => Promise<T>): Promise<T> => {
    turns += 1;
    const before = crowd(store, `before ${turns}`, foreign);
    const asked = own();
    const behind = crowd(store, `behind ${turns}`, foreign);
    await Promise.all([before, behind]);
    return asked;
  };
  const crowdedStore: ValueStore = {
    ...others(store),
    read: (id, request?: ReadRequest) => amid(() => store.read(id, request)),
    arm: (id, request: ArmRequest) => amid(() => store.arm(id, request)),
    publish: (id, request: StorePublish) => amid(() => store.publish(id, request)),
  };
  return crowdedStore;
}

function others(
  store: ValueStore,
): Pick<ValueStore, 'adopt' | 'release' | 'extend' | 'invalidate' | 'explain'> {
  return {
    adopt: (...args) => store.adopt(...args),
    release: (...args) => store.release(...args),
    extend: (...args) => store.extend(...args),
    invalidate: (...args) => store.invalidate(...args),
    explain: (...args) => store.explain(...args),
  };
}

/** One step of each kind on the crowd's own keys, and one of each kind that fails. */
async function crowd(store: ValueStore, name: string, foreign: Foreign): Promise<void> {
  const id = crowdId(name);
  const nonce = `of ${name}`;
  const [read, armed, published] = await Promise.all([
    store.read(crowdId('nothing')),
    store.arm(id, { ...ARM, nonce }),
    store.publish(crowdId('nothing else'), { ...PUBLISH, nonce }),
    ...fails([
      store.read(foreign.read),
      store.arm(foreign.arm, { ...ARM, nonce }),
      store.publish(foreign.publish, { ...PUBLISH, nonce }),
    ]),
  ]);
  const isOwn =
    read.fence === 0 && armed.record.lease?.nonce === nonce && published.outcome === 'unknown_lease';
  if (!isOwn)
    throw new Error(`the crowd got the reply of another step: ${JSON.stringify({ read, armed, published })}`);
}

function fails(steps: readonly Promise<unknown>[]): Promise<void>[] {
  return steps.map(async (step) => {
    const failed = await step.then(
      () => false,
      () => true,
    );
    if (!failed) throw new Error('a step for a foreign key succeeded');
  });
}
