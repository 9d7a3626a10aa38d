// A thousand reads, two calls: values stay in this process's memory until any process changes them.
import { setTimeout as sleep } from 'node:timers/promises';
import { DibsClient } from '@dibs/client';

let hits = 0;
const dibs = new DibsClient({
  nearCache: { maxBytes: 1_000_000 },
  hooks: {
    onHit: () => {
      hits += 1;
    },
  },
});
const elsewhere = new DibsClient();

let price = 10;
const read = () => dibs.getOrRebuild('example:near:price', () => price, { ttlMs: 60_000 });

for (let at = 0; at <= 1_000; at += 1) await read();
const before = await read();

price = 12; // the commit
await elsewhere.invalidate({ keys: ['example:near:price'] });
await sleep(100); // the time that a message takes

console.log(`${before} after ${hits > 1_000 ? 'a thousand hits' : 'too few'}, then ${await read()}`);
dibs.close();
elsewhere.close();
