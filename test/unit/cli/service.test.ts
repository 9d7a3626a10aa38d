import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { refusalOf, Service } from '../../../src/cli/service.js';
import {
  CoordinatorServiceClient,
  ExplainRequest,
  ExplainResponse,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { TestAuthority } from '../../support/certificates.js';

const request = ExplainRequest.fromPartial({ key: 'k' });
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!hasOpenssl) console.warn('SKIPPED because openssl is missing: the command line and TLS');

describe('the service, as the command line calls it', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  /** Answers Explain with the authorization of the call as the holder. */
  async function listen(security: ServerCredentials): Promise<string> {
    const server = new Server();
    server.addService(CoordinatorServiceClient.service, {
      explain: (call: { metadata: Metadata }, done: (error: null, reply: ExplainResponse) => void) => {
        const holder = String(call.metadata.get('authorization')[0] ?? 'no token');
        done(null, ExplainResponse.fromPartial({ lease: { holder } }));
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('localhost:0', security, (error, bound) => (error ? reject(error) : resolve(bound))),
    );
    closing.push(() => server.forceShutdown());
    return `localhost:${port}`;
  }

  async function callerSeenBy(target: string | undefined, env: Record<string, string>) {
    const service = Service.from({ target }, env);
    closing.push(() => service.close());
    return (await service.explain(request)).lease?.holder;
  }

  it('gets the token of DIBS_TOKEN', async () => {
    const target = await listen(ServerCredentials.createInsecure());
    expect(await callerSeenBy(target, {})).toBe('no token');
    expect(await callerSeenBy(target, { DIBS_TOKEN: 'secret' })).toBe('Bearer secret');
  });

  it('is at --target, else at DIBS_TARGET, else at the default address', async () => {
    const target = await listen(ServerCredentials.createInsecure());
    expect(await callerSeenBy(undefined, { DIBS_TARGET: target })).toBe('no token');
    expect(await callerSeenBy(target, { DIBS_TARGET: 'localhost:1' })).toBe('no token');
    expect(Service.from({}, { DIBS_TARGET: '' }).target).toBe('127.0.0.1:50051');
  });

  it.skipIf(!hasOpenssl)('is reached over TLS only with DIBS_TLS_CA', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dibs-cli-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const made = spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost'],
      ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate],
    ]);
    expect(made.status).toBe(0);
    const pair = { private_key: readFileSync(key), cert_chain: readFileSync(certificate) };
    const target = await listen(ServerCredentials.createSsl(null, [pair]));
    expect(await callerSeenBy(target, { DIBS_TLS_CA: certificate, DIBS_TOKEN: 't' })).toBe('Bearer t');
    await expect(callerSeenBy(target, {})).rejects.toThrow(/does not answer .*TLS .*DIBS_TLS_CA/);
  });

  it.skipIf(!hasOpenssl)('gets the certificate of DIBS_TLS_CERT, if it asks for one', async () => {
    const authority = new TestAuthority();
    closing.push(() => authority.close());
    const [service, own, other] = [authority.issue(), authority.issue(), authority.issue()];
    const pair = { private_key: readFileSync(service.key), cert_chain: readFileSync(service.cert) };
    const target = await listen(ServerCredentials.createSsl(readFileSync(authority.ca), [pair], true));
    const trusting = { DIBS_TLS_CA: authority.ca };
    const shown = { ...trusting, DIBS_TLS_CERT: own.cert, DIBS_TLS_KEY: own.key };
    expect(await callerSeenBy(target, shown)).toBe('no token');
    await expect(callerSeenBy(target, trusting)).rejects.toThrow(/does not answer .*DIBS_TLS_CERT/s);
    expect(() => Service.from({}, { ...trusting, DIBS_TLS_CERT: own.cert })).toThrow(/one needs the other/);
    expect(() => Service.from({}, { ...shown, DIBS_TLS_KEY: other.key })).toThrow(/belongs to another key/);
    // The environment of a replica has the replica's certificate.
    expect(Service.from({}, { DIBS_TLS_CERT: own.cert, DIBS_TLS_KEY: own.key }).target).toBe(
      '127.0.0.1:50051',
    );
  });

  it('names the variable if the authorities cannot be read', () => {
    expect(() => Service.from({}, { DIBS_TLS_CA: '/nowhere' })).toThrow(
      /^DIBS_TLS_CA: '\/nowhere' cannot be read/,
    );
  });
});

it('a failure names the proxy, and never contains `undefined`', () => {
  const error = Object.assign(new Error(), {
    code: status.UNAVAILABLE,
    details: 'No connection established. Last error: undefined',
    metadata: new Metadata(),
  });
  const said = refusalOf(error, 'at:1', ' through the proxy of grpc_proxy').message;
  expect(said).toMatch(/^at:1 does not answer through the proxy of grpc_proxy \(no connection\): .*NO_PROXY/);
  expect(refusalOf(error, 'at:1').message).not.toMatch(/NO_PROXY|undefined/);
});

describe('an error of a call', () => {
  const error = (code: status, details: string, pushback?: string): ServiceError => {
    const metadata = new Metadata();
    if (pushback !== undefined) metadata.set('grpc-retry-pushback-ms', pushback);
    return Object.assign(new Error(details), { code, details, metadata });
  };
  const socket =
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ';

  it.each([
    [
      error(status.UNAVAILABLE, socket),
      /^at:1 does not answer \(connect ECONNREFUSED 127.0.0.1:1\): .*--target/,
    ],
    [error(status.UNAVAILABLE, 'the store is away', '100'), /^at:1 is unavailable: the store is away$/],
    [error(status.DEADLINE_EXCEEDED, 'late'), /^at:1 did not answer within 10 s/],
    [error(status.UNAUTHENTICATED, 'no token'), /set DIBS_TOKEN \(no token\)$/],
    [
      error(status.PERMISSION_DENIED, 'not explain'),
      /the identity of DIBS_TOKEN lacks a permission \(not explain\)$/,
    ],
    [error(status.UNIMPLEMENTED, 'unknown method'), /^at:1 is not Dibs, or an older version/],
    [error(status.INVALID_ARGUMENT, 'key: 0 bytes'), /^at:1 refused: key: 0 bytes$/],
  ])('has a text with what to do: %s', (from, text) => {
    expect(refusalOf(from, 'at:1').message).toMatch(text);
  });
});
