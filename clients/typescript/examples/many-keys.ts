// Many keys in one call: what is there comes at once, the rest as it is rebuilt.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient();
const ttlMs = 60_000;
await dibs.getOrRebuild('example:many:a', () => Buffer.from('a'), { ttlMs });

const hits: string[] = [];
const rebuilt: string[] = [];
const keys = ['a', 'b', 'c'].map((name) => `example:many:${name}`);
for await (const answer of dibs.getOrLockMany({ keys })) {
  if ('error' in answer) throw answer.error;
  const { key, outcome } = answer;
  const name = key.slice(-1);
  if (outcome.kind === 'hit') hits.push(name);
  if (outcome.kind !== 'lease') continue;
  await dibs.publish({ key, token: outcome.token, value: Buffer.from(name), ttlMs });
  rebuilt.push(name);
}

console.log(`hit: ${hits.join(', ')}; rebuilt: ${rebuilt.sort().join(', ')}`);
dibs.close();
