// With max_rebuilds, a flushed cache does not flood the source with different keys: the others wait in line.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient({ namespace: 'example-budget' });
let [running, most] = [0, 0];

const rebuild = async () => {
  running += 1;
  most = Math.max(most, running);
  await new Promise((resolve) => setTimeout(resolve, 20));
  running -= 1;
  return 'v';
};
const keys = Array.from({ length: 10 }, (_, at) => `example:budget:${at}`);
const values = await Promise.all(keys.map((key) => dibs.getOrRebuild(key, rebuild, { ttlMs: 60_000 })));

console.log(`${values.length} keys rebuilt, at most ${most} at a time`);
dibs.close();
