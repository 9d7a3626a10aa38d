import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import { Caller } from '../support/caller.js';
import { Replica } from '../support/replica.js';

// Runs the README's examples exactly as printed, with a replica that this test starts.

const README = readFileSync('README.md', 'utf8');
const POLICIES = readFileSync('deploy/operations/policies.md', 'utf8');
const DEFAULT_TARGET = '127.0.0.1:50051';
const run = promisify(execFile);
let replica: Replica;

beforeAll(async () => {
  replica = await Replica.start();
});
afterAll(() => replica?.kill());

/** Returns the first block in the given language that contains `word`. */
function example(language: string, word: string, page = README): string {
  const blocks = [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))];
  const block = blocks.map(([, text]) => text ?? '').find((text) => text.includes(word));
  if (block === undefined) throw new Error(`the page has no ${language} block with ${word}`);
  return block.replaceAll(DEFAULT_TARGET, replica.target);
}

/** Returns the text of all source files below a folder. */
function sourcesIn(folder: string, extension: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => name.endsWith(extension) && !name.includes('generated'));
  return files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
}

it('the example with reflection calls the service', async () => {
  const { stdout } = await run('sh', ['-c', example('sh', 'buf curl')]);
  const { lease } = JSON.parse(stdout);
  expect(lease).toMatchObject({ fence: expect.stringMatching(/^\d+$/), reason: 'LEASE_REASON_MISS' });
  const caller = new Caller(replica.target);
  await caller.release({ key: 'user:42', token: lease.token });
  caller.close();
});

it('the example with the client calls the service', async () => {
  const script = example('ts', '@dibs/client');
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
  expect(JSON.parse(stdout)).toEqual({ id: 42, name: 'Ada' });
});

// The other toolchains are too slow for this suite, so it only checks that the called functions exist in the client's
// source. The client's own examples and the conformance suite run them.
it.each([
  ['go', 'clients/go', '.go'],
  ['python', 'clients/python/src', '.py'],
  ['java', 'clients/java/src/main', '.java'],
  ['rust', 'clients/rust/src', '.rs'],
])(
  'the example in %s calls only functions of the client, with the same key and times',
  (language, folder, extension) => {
    const block = example(language, 'user:42');
    const called = [...block.matchAll(/(?<!Duration\.|Duration::)\b([A-Za-z_]+)\(/g)].map(
      ([, name = '']) => name,
    );
    const own = called.filter((name) => !/^load/i.test(name));
    const source = sourcesIn(folder, extension);
    expect(own.length).toBeGreaterThan(0);
    expect(own.filter((name) => !new RegExp(`\\b${name}\\b`).test(source))).toEqual([]);
    expect(block).toMatch(/\bttl=60\b|WithTTL\(time\.Minute\)|ofMinutes\(1\)|from_secs\(60\)/);
    expect(block).toMatch(/=600\b|10\*time\.Minute|ofMinutes\(10\)|from_secs\(600\)/);
  },
);

it('the examples configure a fleet and its namespaces', () => {
  const exported = [...example('sh', 'DIBS_QUORUM_NODES').matchAll(/(DIBS_[A-Z_]+)=(\S+)/g)];
  const env = Object.fromEntries(exported.map(([, name, value]) => [name ?? '', value]));
  const config = loadConfig({ ...env, DIBS_CONFIG: 'policies.yaml' }, () =>
    example('yaml', 'namespaces', POLICIES),
  );
  expect(config.fleet?.lockGroups[0]).toHaveLength(5);
  expect(config.policies.get('prices')).toMatchObject({ stale: 'allow', onLoss: 'fail', leaseMsMax: 30_000 });
});
