// node far-waiters.js TARGET KEY COUNT: COUNT callers wait for a key. Prints `waiting`, then the answers as JSON.
import { Caller } from '../support/caller.js';

const [target = '', key = '', count = ''] = process.argv.slice(2);
const caller = new Caller(target);
await caller.connect();
const waiting = Array.from({ length: Number(count) }, async () => {
  const { outcome } = await caller.getOrLock({ key, waitMs: 30_000 }, { deadlineMs: 60_000 });
  return { kind: outcome?.$case ?? 'none', atMs: Date.now() };
});
console.log('waiting');
console.log(JSON.stringify(await Promise.all(waiting)));
caller.close();
