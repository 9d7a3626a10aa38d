import { lookup } from 'node:dns/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GrpcServer } from '../../../src/grpc/server.js';
import { Listeners } from '../../../src/workers/listeners.js';

// All addresses of 127.0.0.0/8 are here without IPv6 too, and none of 240.0.0.0/4 is anywhere.
vi.mock('node:dns/promises', () => ({ lookup: vi.fn() }));

const closing: (() => unknown)[] = [];
beforeEach(() => {
  vi.mocked(lookup).mockReset();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function nameFor(...addresses: string[]): void {
  vi.mocked(lookup).mockResolvedValue(addresses.map((address) => ({ address, family: 4 })) as never);
}

async function taken(host: string): Promise<number> {
  const server: Server = createServer();
  closing.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

async function bound(address: string): Promise<readonly string[]> {
  const grpc = await GrpcServer.bind({
    ...{ listen: [address], valueBytesMax: 1_048_576, waitersMax: 1_000, waitersPerKeyMax: 1_000 },
    ...{ connectionAgeMs: 60_000, connectionsMax: 100, unsentBytesMax: 67_108_864 },
    ...{ guard: undefined, compressedRequests: false, failed: () => {}, connectionRefused: () => {} },
    clock: { nowMs: () => 0 },
    services: [],
  });
  closing.push(() => grpc.stop(0));
  return grpc.addresses;
}

async function opened(address: string): Promise<readonly string[]> {
  const listeners = await Listeners.open([address], () => {});
  closing.push(() => listeners.close());
  return listeners.addresses;
}

describe.each([
  ['one process', bound],
  ['workers', opened],
])('a name with several addresses, for %s', (_what, listen) => {
  it.each([
    ['the first', '127.0.0.2'],
    ['the second', '127.0.0.3'],
  ])('is a fault that names the address if %s is taken', async (_which, host) => {
    nameFor('127.0.0.2', '127.0.0.3');
    const port = await taken(host);
    await expect(listen(`localhost:${port}`)).rejects.toThrow(
      `cannot listen at localhost:${port}: listen EADDRINUSE: address already in use ${host}:${port}`,
    );
    // Nothing is left open at the other one.
    nameFor(host === '127.0.0.2' ? '127.0.0.3' : '127.0.0.2');
    expect(await listen(`localhost:${port}`)).toEqual([`localhost:${port}`]);
  });

  it('has one port at all of them', async () => {
    nameFor('127.0.0.2', '127.0.0.3');
    const [address = ''] = await listen('localhost:0');
    const port = Number(address.split(':')[1]);
    for (const host of ['127.0.0.2', '127.0.0.3']) {
      nameFor(host);
      await expect(listen(`localhost:${port}`)).rejects.toThrow(`address already in use ${host}:${port}`);
    }
  });

  it.each([
    ['first', ['240.0.0.1', '127.0.0.2']],
    ['second', ['127.0.0.2', '240.0.0.1']],
  ])('does without the %s if this machine does not have it', async (_which, addresses) => {
    nameFor(...addresses);
    expect(await listen('localhost:0')).toEqual([expect.stringMatching(/^localhost:[1-9]\d*$/)]);
  });

  it('is a fault if this machine has none of them', async () => {
    nameFor('240.0.0.1', '240.0.0.2');
    await expect(listen('localhost:0')).rejects.toThrow(/cannot listen at localhost:0: .*EADDRNOTAVAIL/);
  });

  it('is listened at once at an address that it has twice', async () => {
    nameFor('127.0.0.2', '127.0.0.2');
    expect(await listen('localhost:0')).toEqual([expect.stringMatching(/^localhost:[1-9]\d*$/)]);
  });
});
