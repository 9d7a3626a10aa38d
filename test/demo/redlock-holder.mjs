// `node redlock-holder.mjs KEY LEASE_MS URL…` takes the lock of a key as the usual recipe does, prints one line, and
// rebuilds until it is killed.
import { Redis } from 'ioredis';
import Redlock from 'redlock';

const [key, leaseMs, ...urls] = process.argv.slice(2);
const redlock = new Redlock(urls.map((url) => new Redis(url)));
await redlock.acquire([`lock:${key}`], Number(leaseMs));
console.log(JSON.stringify({ lease: { expiresInMs: Number(leaseMs) } }));
setInterval(() => {}, 60_000);
