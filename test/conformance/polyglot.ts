import type { Adapter } from './adapter.js';
import type { Stage } from './stage.js';

const CALLERS = 20;
const REBUILD_MS = 300;

/** A stampede on one key by processes in all languages at once: one rebuild in all, and its value for all. */
export async function polyglotStampede(stage: Stage, adapters: readonly Adapter[]): Promise<string> {
  const key = 'stampede';
  const opened = adapters.map(async (adapter, at) => {
    const open = {
      client: 'polyglot',
      target: stage.targetOf(at % 2 === 0 ? 'r1' : 'r2'),
      namespace: 'polyglot',
    };
    await adapter.act('open', open);
  });
  await Promise.all(opened);
  const began = adapters.map(({ events }) => events.length);
  const answers = await Promise.all(
    adapters.flatMap((adapter, language) =>
      Array.from({ length: CALLERS }, (_, at) =>
        adapter.act('get_or_rebuild', {
          ...{ client: 'polyglot', call: `polyglot ${at}`, key, ttl_ms: 60_000 },
          rebuild: {
            after_ms: REBUILD_MS,
            value: Buffer.from(`by ${adapters[language]?.language}`).toString('base64'),
          },
        }),
      ),
    ),
  );
  const values = new Set(
    answers.map((answer) =>
      'result' in answer ? String(answer.result.value) : JSON.stringify(answer.error),
    ),
  );
  const rebuilds = adapters.flatMap(({ events, language }, at) =>
    events
      .slice(began[at])
      .filter(({ name }) => name === 'rebuild')
      .map(() => language),
  );
  const texts = [...values].map((value) => Buffer.from(value, 'base64').toString());
  if (rebuilds.length !== 1 || texts.length !== 1) {
    throw new Error(`rebuilt by ${rebuilds.join(', ')}; answers: ${texts.join('; ')}`);
  }
  return `${answers.length} callers in ${adapters.map(({ language }) => language).join(', ')}: 1 rebuild, ${texts[0]}`;
}
