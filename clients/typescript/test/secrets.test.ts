import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { afterEach, expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import type { DibsClientOptions } from '../src/options.js';

// What is set where a path or an address belongs may be a secret. No error may repeat it, as errors are logged.

const PASSWORD = 'pa55word-of-mine';

/** A private key in each form that a variable may have, in one line and in several. */
const KEYS = (['ed25519', 'x25519', 'rsa'] as const).flatMap((type) => {
  const { privateKey } =
    type === 'rsa'
      ? generateKeyPairSync(type, { modulusLength: 1024 })
      : generateKeyPairSync(type as 'ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const forms = [pem, pem.replaceAll('\n', ' '), pem.replaceAll('\n', '\\n'), pem.replaceAll('\n', '')];
  const base64 = [Buffer.from(pem).toString('base64'), der.toString('base64'), ` ${der.toString('base64')}`];
  return [...forms, ...base64, der.toString('base64url')];
});

const TOKENS = [
  'my-secret-token',
  'dibs.my-secret-token',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWJzIn0.c2lnbmF0dXJlLW9mLW1pbmU',
  '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  'q1W2e3R4t5Y6u7I8/o9P0aSdFgHjKlZxCvBnMqWeRtY=',
  '/q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZx',
  '/q1W2e3R4+t5Y6u7I8o9P0aSdFgHj=',
];

const VARIABLES = {
  tlsCa: 'DIBS_TLS_CA',
  tlsCert: 'DIBS_TLS_CERT',
  tlsKey: 'DIBS_TLS_KEY',
  tokenFile: 'DIBS_TOKEN_FILE',
} as const;
type Option = keyof typeof VARIABLES;
const OPTIONS = Object.keys(VARIABLES) as Option[];
const TLS = OPTIONS.filter((option) => option !== 'tokenFile');

/** Everything that a logger may print of the error: its text, its causes, and all that they carry. */
function printedBy(make: () => DibsClient): string {
  const logged: unknown[] = [];
  for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const)
    vi.spyOn(console, method).mockImplementation((...said) => logged.push(said));
  vi.spyOn(process, 'emitWarning').mockImplementation((...said) => logged.push(said));
  try {
    make().close();
  } catch (error) {
    const { stack } = error as Error;
    return [String(error), stack, inspect([error, logged], { depth: null, showHidden: true })].join('\n');
  }
  throw new Error('expected the client to be refused');
}

/** The options with this one, and with the others that it needs. */
function withOne(option: Option, value: string): DibsClientOptions {
  const other = { tlsCert: 'tlsKey', tlsKey: 'tlsCert' } as Partial<Record<Option, Option>>;
  const needed = other[option];
  return { [option]: value, ...(needed === undefined ? {} : { [needed]: import.meta.filename }) };
}

function byEnvironment(options: DibsClientOptions): () => DibsClient {
  for (const [option, value] of Object.entries(options))
    vi.stubEnv(VARIABLES[option as Option], String(value));
  return () => new DibsClient();
}

function expectSilence(printed: string, secret: string): void {
  // A short piece would do harm too, and an error may escape or cut what it repeats.
  for (let at = 0; at + 12 <= secret.length; at += 1)
    expect(printed).not.toContain(secret.slice(at, at + 12));
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

it.each(OPTIONS)('a key that is set as %s instead of its path is not repeated', (option) => {
  for (const key of KEYS) {
    const options = withOne(option, key);
    for (const make of [() => new DibsClient(options), byEnvironment(options)]) {
      const printed = printedBy(make);
      expect(printed).toContain(`${option}: cannot be read`);
      expect(printed).toContain('set the path of the file');
      expect(printed).toContain(VARIABLES[option]);
      expectSilence(printed, key);
    }
  }
});

it('a token that is set as tokenFile instead of its path is not repeated', () => {
  for (const token of TOKENS) {
    const options = { tokenFile: token };
    for (const make of [() => new DibsClient(options), byEnvironment(options)]) {
      const printed = printedBy(make);
      expect(printed).toMatch(/tokenFile: cannot be read, .* set the path of the file .*DIBS_TOKEN_FILE/);
      expectSilence(printed, token);
    }
  }
});

it('a path is repeated', () => {
  const message = (options: DibsClientOptions) => printedBy(() => new DibsClient(options)).split('\n')[0];
  for (const option of TLS) {
    for (const path of ['/nowhere/tls.pem', 'no-such.pem', 'MyKeys/of this service/tls.pem']) {
      expect(message(withOne(option, path))).toBe(`DibsError: ${option}: ${path} cannot be read`);
    }
  }
  const paths = ['/nowhere/dibs/token', './no-such-token', '../no-such/token', '~/token', 'C:\\dibs\\token'];
  for (const path of [
    ...paths,
    '/nowhere/kubernetes.io/serviceaccount/9f86d081-884c-4d65-9a2f-eaa0c55ad015',
  ]) {
    expect(message({ tokenFile: path })).toBe(`DibsError: tokenFile: ${path} cannot be read`);
  }
});

it('a user and a password in the target are not repeated', () => {
  const user = `user:${PASSWORD}`;
  const targets = [`${user}@host:1`, `${PASSWORD}@host:1`, `https://${user}@host:1`, `a:1,${user}@b:2`];
  const more = [
    `dns:///${user}@host:1`,
    `dns://${user}@8.8.8.8/host:1`,
    `${user}/with@slash@host:1`,
    `unixes:${PASSWORD}@host:1`,
    `${user}@host`,
  ];
  for (const target of [...targets, ...more]) {
    vi.stubEnv('DIBS_TARGET', target);
    for (const make of [() => new DibsClient({ target }), () => new DibsClient()]) {
      const printed = printedBy(make);
      expect(printed).toContain('target: has a user or a password');
      expectSilence(printed, PASSWORD);
    }
  }
  new DibsClient({ target: 'unix:///run/dibs@1.sock' }).close();
});
