import { expect, it } from 'vitest';
import type { Hooks } from '../src/hooks.js';
import { freshKey, Service } from './service.js';

it('are called as methods of their object, such as one that counts', async () => {
  class Counts implements Hooks {
    hits = 0;
    near = 0;
    publishes = 0;

    onHit({ source }: { source: 'near' | 'service' }): void {
      if (source === 'near') this.near += 1;
      else this.hits += 1;
    }

    onPublish(): void {
      this.publishes += 1;
    }
  }
  const service = await Service.start();
  const hooks = new Counts();
  const client = service.client({ hooks, nearCache: { maxBytes: 100_000 } });
  const key = freshKey();
  const read = () => client.getOrRebuild(key, () => 'v', { ttlMs: 60_000 });
  await read();
  await read();
  await expect.poll(async () => (await read()) && hooks.near).toBeGreaterThan(0);
  expect(hooks).toMatchObject({ hits: expect.any(Number), publishes: 1 });
  expect(hooks.hits).toBeGreaterThan(0);
  await service.stop();
});
