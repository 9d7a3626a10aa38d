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

/** Connections to the proxy of the environment, and whether the service got any, if this target is asked. */
async function arrivalsOf(form: string, token = '') {
  const [service, proxy] = await Promise.all([Arrivals.listen(), Arrivals.listen()]);
  for (const name of ['grpc_proxy', 'https_proxy', 'no_grpc_proxy', 'no_proxy']) vi.stubEnv(name, '');
  vi.stubEnv('http_proxy', `http://127.0.0.1:${proxy.port}`);
  const client = new DibsClient({ target: form.replaceAll('PORT', String(service.port)), token });
  try {
    await client.getOrRebuild(freshKey(), () => 'x', { ttlMs: 60_000 }).catch(() => {});
    return { atProxy: proxy.count, atService: service.count > 0 };
  } finally {
    client.close();
    vi.unstubAllEnvs();
    await Promise.all([service.close(), proxy.close()]);
  }
}

it.each(['127.0.0.1:PORT', 'localhost:PORT', 'dns:///localhost:PORT', '127.0.0.1:PORT,127.0.0.2:PORT'])(
  '%s is on this machine, so no proxy of the environment gets what is sent',
  async (form) => {
    expect(await arrivalsOf(form, 'a-secret-of-mine')).toEqual({ atProxy: 0, atService: true });
  },
);

// The system takes 0.0.0.0 as this machine. The client takes it as any other.
it.each(['0.0.0.0:PORT,127.0.0.2:PORT', 'ipv4:0.0.0.0:PORT,127.0.0.2:PORT'])(
  '%s is a list, so it is reached without the proxy',
  async (form) => {
    expect(await arrivalsOf(form)).toEqual({ atProxy: 0, atService: true });
  },
);

it('a single address is reached through the proxy', async () => {
  const { atProxy, atService } = await arrivalsOf('0.0.0.0:PORT');
  expect([atProxy > 0, atService]).toEqual([true, false]);
});
