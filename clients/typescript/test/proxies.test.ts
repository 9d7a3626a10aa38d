import { type AddressInfo, createServer } from 'node:net';
import { expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import { freshKey } from './service.js';

/** Counts connections, and closes each. */
class Arrivals {
  count = 0;
  readonly #server = createServer((socket) => {
    this.count += 1;
    socket.destroy();
  });

  static async listen(): Promise<Arrivals> {
    const arrivals = new Arrivals();
    await new Promise<void>((resolve) => arrivals.#server.listen(0, '127.0.0.1', resolve));
    return arrivals;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): Promise<unknown> {
    return new Promise((resolve) => this.#server.close(resolve));
  }
}

it.each(['127.0.0.1:PORT', 'localhost:PORT', 'dns:///localhost:PORT', '127.0.0.1:PORT,127.0.0.2:PORT'])(
  '%s is on this machine, so no proxy of the environment gets what is sent',
  async (form) => {
    const [service, proxy] = await Promise.all([Arrivals.listen(), Arrivals.listen()]);
    vi.stubEnv('http_proxy', `http://127.0.0.1:${proxy.port}`);
    const target = form.replaceAll('PORT', String(service.port));
    const client = new DibsClient({ target, token: 'a-secret-of-mine' });
    try {
      await client.getOrRebuild(freshKey(), () => 'x', { ttlMs: 60_000 }).catch(() => {});
      expect([proxy.count, service.count > 0]).toEqual([0, true]);
    } finally {
      client.close();
      vi.unstubAllEnvs();
      await Promise.all([service.close(), proxy.close()]);
    }
  },
);
