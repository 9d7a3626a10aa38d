// A value past its TTL is served at once while one caller rebuilds it in the background.
import { setTimeout as sleep } from 'node:timers/promises';
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient();
let version = 0;

async function render(): Promise<string> {
  version += 1;
  await sleep(2000);
  return `page ${version}`;
}

const read = () => dibs.getOrRebuild('example:page', render, { ttlMs: 100, staleMs: 60_000 });

const first = await read();
await sleep(150);
const startedAt = performance.now();
const stale = await read();
const waited = performance.now() - startedAt < 2000 ? 'at once' : 'after a wait';
let next = stale;
while (next === stale) {
  await sleep(100);
  next = await read();
}

console.log(`${first}, then ${stale} ${waited}, then ${next}`);
dibs.close();
