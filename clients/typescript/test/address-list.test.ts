import dns from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import { bytes, deferred, freshKey, raw, Service } from './service.js';

const ttlMs = 60_000;

describe('a list in which one address refuses while the name of another one is being looked up', () => {
  let answer: ReturnType<typeof deferred<dns.LookupAddress[]>>;
  let refusing: Server;
  let refused: number;
  let client: DibsClient;
  beforeEach(async () => {
    answer = deferred();
    const { lookup } = dns.promises;
    vi.spyOn(dns.promises, 'lookup').mockImplementation(((host: string, options: dns.LookupAllOptions) =>
      host === 'late.test' ? answer.promise : lookup(host, options)) as typeof lookup);
    refused = 0;
    refusing = createServer((socket) => {
      refused += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(refusing, 'listening');
  });
  afterEach(() => {
    client.close();
    refusing.close();
    vi.restoreAllMocks();
  });

  /** A call, once the first connection has failed: the client then makes another one. */
  async function asked(latePort: number) {
    const { port } = refusing.address() as AddressInfo;
    client = new DibsClient({
      target: `127.0.0.1:${port},late.test:${latePort}`,
      onUnavailable: 'fail',
      connectMs: 60_000,
    });
    const ended = vi.fn();
    const call = client.getOrRebuild(freshKey(), () => bytes('v'), { codec: raw, ttlMs });
    call.then(ended, ended);
    await vi.waitFor(() => expect(refused).toBeGreaterThan(1), 20_000);
    expect(ended).not.toHaveBeenCalled();
    return { call };
  }

  it('waits for the name', async () => {
    const service = await Service.start();
    try {
      const [, port = ''] = service.target.split(':');
      const { call } = await asked(Number(port));
      answer.resolve([{ address: '127.0.0.1', family: 4 }]);
      expect(await call).toEqual(bytes('v'));
    } finally {
      await service.stop();
    }
  });

  it('is unavailable once the name is unknown', async () => {
    const { call } = await asked(1);
    answer.reject(new Error('no such name'));
    await expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
