// Why does this key wait? Who holds it, and how did the last leases end?
import { DibsClient } from '@dibs/client';

const key = 'example:slow';
const dibs = new DibsClient({ holder: 'report-job' });

const failed = await dibs.getOrLock({ key, holder: 'warmer' });
if (failed.kind !== 'lease') throw new Error(`expected a lease, got ${failed.kind}`);
await dibs.release({ key, token: failed.token, failure: { message: 'too slow', retryAfterMs: 0 } });

const lease = await dibs.getOrLock({ key });
if (lease.kind !== 'lease') throw new Error(`expected a lease, got ${lease.kind}`);
const waiting = dibs.getOrLock({ key, waitMs: 5_000 });
await new Promise((resolve) => setTimeout(resolve, 100));

const told = await dibs.explain({ key });
const [before] = told.pastLeases;
const has = `${told.lease?.holder} has had it, and ${told.waiters} waits`;
console.log(`${has}; before: ${before?.holder}, ${before?.end}`);

await dibs.publish({ key, token: lease.token, value: Buffer.from('done'), ttlMs: 60_000 });
await waiting;
dibs.close();
