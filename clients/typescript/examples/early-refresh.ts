// With early_refresh_beta, one caller is asked to rebuild before the value expires. No caller waits for it.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient({ namespace: 'example-early' });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const reasons = new Set<string>();

const read = () =>
  dibs.getOrRebuild(
    'example:early',
    async ({ reason }) => {
      reasons.add(reason);
      await pause(30);
      return 'a value';
    },
    { ttlMs: 2_000 },
  );

await read();
for (let at = 0; at < 400 && !reasons.has('early_refresh'); at += 1) {
  await read();
  await pause(5);
}

console.log(`rebuilt for: ${[...reasons].join(', ')}`);
dibs.close();
