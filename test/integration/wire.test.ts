import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, createFileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { service as healthDefinition } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type App, startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';

// Tests that need raw bytes: broken messages, and clients that know only the standard services.

const SERVICE = '/dibs.v1.CoordinatorService';
const socket = `unix://${join(tmpdir(), `dibs-wire-${process.pid}.sock`)}`;
let app: App;
let client: Client;

beforeAll(async () => {
  app = await startApp(
    loadConfig({
      DIBS_LISTEN: `127.0.0.1:0,${socket}`,
      DIBS_HTTP_LISTEN: '127.0.0.1:0',
      DIBS_LOG_LEVEL: 'silent',
    }),
  );
  client = new Client(app.grpcAddresses[0] ?? '', credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await app.stop();
});

const same = (bytes: Buffer) => bytes;

/** Sends raw bytes. Returns the reply's bytes or the error. */
function send(method: string, bytes: Uint8Array, by = client): Promise<Buffer | ServiceError> {
  return new Promise((resolve) => {
    by.makeUnaryRequest(`${SERVICE}/${method}`, same, same, Buffer.from(bytes), (error, reply) =>
      resolve(error ?? (reply as Buffer)),
    );
  });
}

describe('bytes that are not a request', () => {
  const text = (field: number, ...bytes: number[]) =>
    new BinaryWriter()
      .uint32(field * 8 + 2)
      .bytes(Uint8Array.from(bytes))
      .finish();
  const number = (field: number, value: bigint) =>
    new BinaryWriter()
      .uint32(field * 8)
      .int64(value)
      .finish();
  const key = text(2, 0x6b);
  const rows: [string, string, Uint8Array[], string][] = [
    ['invalid UTF-8 in a key', 'GetOrLock', [text(2, 0x6b, 0x80)], 'key: its bytes are not valid UTF-8'],
    ['a surrogate in a namespace', 'Explain', [text(1, 0xed, 0xa0, 0x80), key], 'namespace: is outside'],
    ['invalid UTF-8 in a token', 'Release', [key, text(3, 0xff)], 'token: its bytes are not valid UTF-8'],
    ['invalid UTF-8 in a list', 'Invalidate', [key, text(2, 0xff)], 'keys[1]: its bytes are not valid UTF-8'],
    [
      'invalid UTF-8 within a message',
      'Release',
      [key, text(4, ...text(1, 0xff))],
      'failure.message: its bytes are not valid UTF-8',
    ],
    ['a number beyond 2^53', 'GetOrLock', [key, number(3, 2n ** 53n)], 'wait_ms: beyond 2^53'],
    ['a number below -2^53', 'Extend', [key, number(4, -(2n ** 63n))], 'lease_ms: beyond 2^53'],
    ['a negative number', 'GetOrLock', [key, number(3, -1n)], 'wait_ms: -1 is outside 0 to 30000'],
    ['an unknown enum value', 'GetOrLock', [key, number(9, 4n)], 'intent: 4 is outside 0 to 3'],
    ['a negative enum value', 'GetOrLock', [key, number(5, -1n)], 'stale: -1 is outside 0 to 2'],
    ['a cut message', 'GetOrLock', [Uint8Array.of(0x12, 0x05, 0x61)], 'request: its bytes cannot be decoded'],
    ['garbage', 'Publish', [Uint8Array.of(0xff, 0xff, 0xff)], 'request: its bytes cannot be decoded'],
    ['bytes after the end', 'Publish', [key, Uint8Array.of(0, 1)], 'request: its bytes cannot be decoded'],
    ['nothing', 'Publish', [], 'key: 0 bytes is outside 1 to 1024'],
    ['nothing to explain', 'Explain', [], 'key: 0 bytes is outside 1 to 1024'],
  ];

  it.each(rows)('are refused: %s (%s)', async (_what, method, parts, details) => {
    const error = await send(method, Buffer.concat(parts));
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(details) });
    expect((error as ServiceError).details.indexOf(details)).toBe(0);
  });

  it('are refused by a stream too', async () => {
    const ended = (bytes: Buffer) =>
      new Promise<ServiceError>((resolve) => {
        const call = client.makeServerStreamRequest(`${SERVICE}/GetOrLockMany`, same, same, bytes);
        call.on('data', () => {});
        call.on('error', (error) => resolve(error as ServiceError));
      });
    expect(await ended(Buffer.of(0xff))).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(await ended(Buffer.alloc(0))).toMatchObject({ details: 'keys: 0 is outside 1 to 1000' });
  });

  it('do not affect the service', async () => {
    expect(await send('GetOrLock', key)).toBeInstanceOf(Buffer);
  });
});

it('a session with undecodable bytes ends with the reason', async () => {
  const call = client.makeBidiStreamRequest(`${SERVICE}/Session`, same, same);
  const error = await new Promise<ServiceError>((resolve) => {
    call.on('data', () => {});
    call.on('error', (error) => resolve(error as ServiceError));
    call.write(Buffer.of(0xff));
  });
  expect(error).toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringMatching(/^request: its bytes cannot be decoded/),
  });
});

it('the service listens on a unix socket too', async () => {
  const bySocket = new Client(socket, credentials.createInsecure());
  expect(await send('GetOrLock', Buffer.from('\x12\x01u'), bySocket)).toBeInstanceOf(Buffer);
  bySocket.close();
});

type Health = { status: string };

describe('health', () => {
  const { Check, Watch } = healthDefinition as unknown as Record<
    'Check' | 'Watch',
    ServiceDefinition[string]
  >;
  const check = (service: string) =>
    new Promise<Health | ServiceError>((resolve) => {
      client.makeUnaryRequest<unknown, Health>(
        Check.path,
        Check.requestSerialize,
        Check.responseDeserialize as never,
        { service },
        (error, reply) => resolve(error ?? (reply as Health)),
      );
    });

  it('covers the process and the service', async () => {
    expect(await check('')).toEqual({ status: 'SERVING' });
    expect(await check('dibs.v1.CoordinatorService')).toEqual({ status: 'SERVING' });
    expect(await check('unknown')).toMatchObject({ code: status.NOT_FOUND });
  });

  it('can be watched until the replica stops, and a watcher does not delay the stop', async () => {
    const mortal = await startApp(
      loadConfig({ DIBS_LISTEN: '127.0.0.1:0', DIBS_HTTP_LISTEN: '127.0.0.1:0', DIBS_LOG_LEVEL: 'silent' }),
    );
    const watcher = new Client(mortal.grpcAddresses[0] ?? '', credentials.createInsecure());
    const seen: string[] = [];
    const ended = new Promise<ServiceError>((resolve) => {
      const call: ClientReadableStream<Health> = watcher.makeServerStreamRequest(
        Watch.path,
        Watch.requestSerialize,
        Watch.responseDeserialize as never,
        { service: '' },
      );
      call.on('data', ({ status }: Health) => seen.push(status));
      call.on('error', (error) => resolve(error as ServiceError));
    });
    const ready = () => fetch(`http://${mortal.httpAddress}/readyz`).then(({ status }) => status);
    await expect.poll(() => seen).toEqual(['SERVING']);
    expect(await ready()).toBe(200);
    mortal.drain();
    await expect.poll(() => seen).toEqual(['SERVING', 'NOT_SERVING']);
    expect(await ready()).toBe(503);
    await mortal.stop();
    expect((await ended).code).toBe(status.UNAVAILABLE);
    watcher.close();
  });
});

interface ReflectionReply {
  listServicesResponse?: { service: { name: string }[] };
  fileDescriptorResponse?: { fileDescriptorProto: number[][] };
  errorResponse?: { errorCode: number };
}

describe.each(['v1', 'v1alpha'])('reflection %s', (version) => {
  const definitions: ServiceDefinition[] = [];
  new ReflectionService({}).addToServer({
    addService: (definition: ServiceDefinition) => definitions.push(definition),
  });
  const method = definitions
    .flatMap((definition) => Object.values(definition))
    .find(({ path }) => path.startsWith(`/grpc.reflection.${version}.`))!;

  function reflect(...requests: object[]): Promise<ReflectionReply[]> {
    return new Promise((resolve, reject) => {
      const replies: ReflectionReply[] = [];
      const call: ClientDuplexStream<object, ReflectionReply> = client.makeBidiStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize as never,
      );
      call.on('data', (reply: ReflectionReply) => replies.push(reply));
      call.on('end', () => resolve(replies));
      call.on('error', reject);
      for (const request of requests) call.write(request);
      call.end();
    });
  }

  it('lists every service, including itself', async () => {
    const [reply] = await reflect({ listServices: '*' });
    expect(reply?.listServicesResponse?.service.map(({ name }) => name).sort()).toEqual([
      'dibs.v1.CoordinatorService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
  });

  it('finds symbols and files, and reports unknown ones', async () => {
    const replies = await reflect(
      { fileContainingSymbol: 'dibs.v1.CoordinatorService.GetOrLock' },
      { fileContainingSymbol: 'grpc.health.v1.Health' },
      { fileContainingSymbol: 'grpc.health.v1.HealthCheckResponse.ServingStatus' },
      { fileByFilename: 'dibs/v1/coordinator.proto' },
      { fileContainingSymbol: 'dibs.v1.Unknown' },
      { fileByFilename: 'unknown.proto' },
      { allExtensionNumbersOfType: 'dibs.v1.Hit' },
      { fileContainingExtension: { containingType: 'dibs.v1.Hit', extensionNumber: 9 } },
    );
    expect(
      replies.map(({ fileDescriptorResponse, errorResponse }) =>
        errorResponse === undefined || errorResponse === null
          ? (fileDescriptorResponse?.fileDescriptorProto.length ?? 0)
          : errorResponse.errorCode,
      ),
    ).toEqual([1, 1, 1, 1, ...Array(4).fill(status.NOT_FOUND)]);
  });

  it('is all that a client needs to make a call', async () => {
    const [reply] = await reflect({ fileContainingSymbol: 'dibs.v1.CoordinatorService' });
    const files = reply?.fileDescriptorResponse?.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, Uint8Array.from(bytes)),
    );
    const request = files?.[0]?.messageType.find(({ name }) => name === 'GetOrLockRequest');
    expect(request?.field.find(({ number }) => number === 3)).toMatchObject({
      name: 'wait_ms',
      jsonName: 'waitMs',
      proto3Optional: true,
    });
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files ?? [] }));
    const { input, output } = registry.getService('dibs.v1.CoordinatorService')!.method.getOrLock!;
    // `wait_ms: 0` differs from no `wait_ms` only if `optional` has survived.
    const message = create(input as GenMessage<never>, { key: `reflected-${version}`, waitMs: 0n } as never);
    const answer = await send('GetOrLock', toBinary(input, message));
    expect(fromBinary(output, answer as Buffer)).toMatchObject({ outcome: { case: 'lease' } });
    const again = await send('GetOrLock', toBinary(input, message));
    expect(fromBinary(output, again as Buffer)).toMatchObject({ outcome: { case: 'busy' } });
  });
});

describe('/metrics', () => {
  it('can be read by Prometheus, and counts answers', async () => {
    await send('GetOrLock', Buffer.from('\x0a\x07metrics\x12\x01k'));
    const page = await (await fetch(`http://${app.httpAddress}/metrics`)).text();
    for (const line of page.trimEnd().split('\n')) {
      expect(line).toMatch(/^(# (HELP|TYPE) dibs_\w+ .+|dibs_\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+-]+|)$/);
    }
    expect(page).toMatch('dibs_get_or_lock_total{namespace="metrics",outcome="lease"} 1\n');
    expect(page).toMatch(/^dibs_leases_held [1-9]\d*$/m);
  });
});
