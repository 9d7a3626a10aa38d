import { percentile } from '../support/percentile.js';
import { until } from '../support/until.js';
import { Adapter } from './adapter.js';
import type { Language } from './adapters.js';
import type { Stage } from './stage.js';

const NAMESPACE = 'killed-holders';

/** Measures how long the next caller waits for the lease after its holder was killed with `kill -9`, over sessions. */
export async function killedHolders(
  stage: Stage,
  language: Language,
  times: number,
  replaced: () => void,
): Promise<string> {
  const open = { namespace: NAMESPACE, session: true };
  const next = await Adapter.start(language);
  const tookMs: number[] = [];
  try {
    await next.open({ ...open, client: 'next', target: stage.targetOf('r2') });
    for (let at = 0; at < times; at += 1) {
      const key = `${language.name} ${at}`;
      const call = { key, ttl_ms: 60_000, lease_ms: 5_000 };
      const holder = await Adapter.start(language);
      await holder.open({ ...open, client: 'holder', target: stage.targetOf('r1') });
      void holder.act('get_or_rebuild', { ...call, client: 'holder', call: key, rebuild: { gate: 'never' } });
      await until(() => holder.events.some(({ name }) => name === 'rebuild'));
      const answer = next.act('get_or_rebuild', {
        ...call,
        client: 'next',
        call: key,
        rebuild: { value: '' },
      });
      await stage.waiters(NAMESPACE, key, 1);
      const killedMs = performance.now();
      await holder.kill();
      await answer;
      const began = next.events.find(({ name, call: of }) => name === 'rebuild' && of === key);
      tookMs.push(Number(began?.atMs) - killedMs);
      replaced();
    }
  } finally {
    await next.kill();
  }
  const [p50, p99] = [0.5, 0.99].map((of) => percentile(tookMs, of).toFixed(1));
  return `${language.name}: after kill -9 of a holder the next one has the lease in ${p50} ms (p50), ${p99} ms (p99) of ${times}`;
}
