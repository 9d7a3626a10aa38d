import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../support/until.js';
import type { Adapter } from './adapter.js';
import type { Stage } from './stage.js';

const NAMESPACE = 'polyglot';
const GATE = 'polyglot affinity';
/** Enough keys that two languages do not agree by chance. */
const KEYS = Array.from({ length: 16 }, (_, at) => `affinity ${at}`);
/** Long enough for each client to open a session with each replica. */
const SESSIONS_MS = 6_000;

/** Checks that with key affinity, the callers of a key wait at one replica, whatever their language. */
export async function polyglotAffinity(stage: Stage, adapters: readonly Adapter[]): Promise<string> {
  const [holder] = adapters;
  if (holder === undefined) return '';
  const value = Buffer.from('v').toString('base64');
  const open = { namespace: NAMESPACE, session: true };
  await holder.open({ ...open, client: 'holder', target: stage.targetOf('r1') });
  const held = holder.act('get_or_rebuild_many', {
    ...{ client: 'holder', call: GATE, keys: KEYS, ttl_ms: 60_000 },
    rebuild: { gate: GATE, each: value },
  });
  await until(() => holder.events.some(({ name, call }) => name === 'rebuild' && call === GATE));
  const ask = (adapter: Adapter, key: string) =>
    adapter.act('get_or_rebuild', {
      ...{ client: 'affinity', call: `${GATE} ${key}`, key, ttl_ms: 60_000, wait_ms: 20_000 },
      rebuild: { value },
    });
  await Promise.all(
    adapters.map(async (adapter) => {
      const target = stage.targetOf('both');
      await adapter.open({ ...open, client: 'affinity', target, key_affinity: true });
      await ask(adapter, `first of ${adapter.language}`);
    }),
  );
  await sleep(SESSIONS_MS);
  const asked = adapters.flatMap((adapter) => KEYS.map((key) => ask(adapter, key)));
  try {
    await stage.met(NAMESPACE, KEYS, adapters.length);
  } finally {
    await holder.act('let', { gate: GATE });
    await Promise.all([held, ...asked]);
  }
  const languages = adapters.map(({ language }) => language).join(', ');
  return `the callers of ${KEYS.length} keys in ${languages}: all those of a key at one replica`;
}
