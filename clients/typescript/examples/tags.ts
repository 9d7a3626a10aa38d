// One tag for everything that depends on the same thing: invalidate it all without knowing the keys.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient();
let rebuilds = 0;

const page = (key: string) =>
  dibs.getOrRebuild(
    key,
    () => {
      rebuilds += 1;
      return 'a page';
    },
    { ttlMs: 60_000, tags: ['example:product:7'] },
  );

await page('example:product:7:de');
await page('example:product:7:en');
const first = rebuilds;
await dibs.invalidate({ tags: ['example:product:7'] });
await page('example:product:7:de');
await page('example:product:7:en');

console.log(`${first} pages rebuilt, then ${rebuilds}`);
dibs.close();
