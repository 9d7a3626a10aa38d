import type { Server } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { http2ServersOf } from '../../../src/grpc/door/http2-servers.js';
import { GrpcServer } from '../../../src/grpc/server.js';

it('a connection that the system cannot accept does not end the process', async () => {
  const grpc = await GrpcServer.bind({
    ...{ listen: ['127.0.0.1:0'], valueBytesMax: 1_048_576, waitersMax: 1_000, waitersPerKeyMax: 1_000 },
    ...{ connectionAgeMs: 60_000, connectionsMax: 100, unsentBytesMax: 67_108_864 },
    ...{ guard: undefined, compressedRequests: false, failed: () => {}, connectionRefused: () => {} },
    clock: { nowMs: () => 0 },
    services: [],
  });
  const { server } = grpc as unknown as { readonly server: Server };
  const listening = http2ServersOf(server);
  expect(listening).toHaveLength(1);
  for (const one of listening) expect(() => one.emit('error', new Error('accept EMFILE'))).not.toThrow();
  await grpc.stop(0);
});
