// With ttl_jitter, keys that were filled together do not expire together.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient({ namespace: 'example-jitter' });
const keys = Array.from({ length: 50 }, (_, at) => `example:jitter:${at}`);
await Promise.all(keys.map((key) => dibs.getOrRebuild(key, () => 'v', { ttlMs: 60_000 })));

const ends: number[] = [];
for await (const answer of dibs.getOrLockMany({ keys })) {
  if ('outcome' in answer && answer.outcome.kind === 'hit') ends.push(answer.outcome.freshForMs);
}
const spreadMs = Math.max(...ends) - Math.min(...ends);

console.log(`${ends.length} keys, over ${spreadMs > 15_000 ? 'more' : 'less'} than 15 s`);
dibs.close();
