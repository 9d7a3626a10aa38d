// A holder in a separate process, to be killed: `node session-holder.mjs TARGET KEY LEASE_MS session|unary` takes the
// lease of a key, prints `{"lease":…}`, and then rebuilds forever.
import { DibsClient } from '../../clients/typescript/dist/esm/dibs.js';

const [target, key, leaseMs, how] = process.argv.slice(2);
const client = new DibsClient({ target, session: how === 'session' });
const outcome = await client.getOrLock({ key, leaseMs: Number(leaseMs) });
console.log(JSON.stringify(outcome.kind === 'lease' ? { lease: outcome } : {}));
setInterval(() => {}, 60_000);
