// A lease without a length follows the rebuild times of the key, so a holder that dies is replaced sooner.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient({ namespace: 'example-learned' });
const key = 'example:learned';

async function leaseSeconds(): Promise<number> {
  const lease = await dibs.getOrLock({ key, intent: 'refresh' });
  if (lease.kind !== 'lease') throw new Error(`expected a lease, got ${lease.kind}`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await dibs.publish({ key, token: lease.token, value: Buffer.from('v'), ttlMs: 60_000 });
  return Math.round(lease.expiresInMs / 1_000);
}

const first = await leaseSeconds();
const later = await leaseSeconds();

console.log(`${first} s at first, ${later} s once it is known to be quick`);
dibs.close();
