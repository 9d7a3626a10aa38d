import { setTimeout as sleep } from 'node:timers/promises';
import type { Adapter } from './adapter.js';
import type { Stage } from './stage.js';

const CALLERS = 20;
const REBUILD_MS = 300;
/** A busy machine must not end it before the value is published. */
const LEASE_MS = 20_000;

/** Long enough for a change to reach every process. */
const HEARD_MS = 6_000;
const CLIENT = { client: 'polyglot', namespace: 'polyglot' };
const KEY = 'stampede';

/**
 * Runs a stampede on one key with processes in all languages, which have near caches. Expects one rebuild, whose value
 * all get. Runs it again after one of them has invalidated the key.
 */
export async function polyglotStampede(stage: Stage, adapters: readonly Adapter[]): Promise<string> {
  await Promise.all(
    adapters.map((adapter, at) => {
      const target = stage.targetOf(at % 2 === 0 ? 'r1' : 'r2');
      return adapter.open({ ...CLIENT, target, session: true, near_cache: true });
    }),
  );
  const by = await stampede(adapters, 'first');
  await adapters[0]?.act('invalidate', { client: CLIENT.client, call: 'invalidate', keys: [KEY] });
  await sleep(HEARD_MS);
  const again = await stampede(adapters, 'again');
  const languages = adapters.map(({ language }) => language).join(', ');
  return `${adapters.length * CALLERS} callers in ${languages}, near caches on: 1 rebuild, ${by}, and 1 after an invalidation, ${again}`;
}

/** Returns the language that rebuilt the key. */
async function stampede(adapters: readonly Adapter[], round: string): Promise<string> {
  const began = adapters.map(({ events }) => events.length);
  const answers = await Promise.all(
    adapters.flatMap((adapter, language) =>
      Array.from({ length: CALLERS }, (_, at) =>
        adapter.act('get_or_rebuild', {
          ...{
            client: CLIENT.client,
            call: `polyglot ${round} ${at}`,
            key: KEY,
            ttl_ms: 60_000,
            lease_ms: LEASE_MS,
          },
          rebuild: {
            after_ms: REBUILD_MS,
            value: Buffer.from(`by ${adapters[language]?.language}, ${round}`).toString('base64'),
          },
        }),
      ),
    ),
  );
  const texts = answers.map((answer) =>
    'result' in answer
      ? Buffer.from(String(answer.result.value), 'base64').toString()
      : JSON.stringify(answer.error),
  );
  const rebuilds = adapters.flatMap(({ events, language }, at) =>
    events
      .slice(began[at])
      .filter(({ name }) => name === 'rebuild')
      .map(() => language),
  );
  const [text = '', ...others] = new Set(texts);
  if (rebuilds.length !== 1 || others.length > 0 || !text.endsWith(`, ${round}`)) {
    throw new Error(`${round}: rebuilt by ${rebuilds.join(', ')}; answers: ${[text, ...others].join('; ')}`);
  }
  return text.slice(0, text.indexOf(','));
}
