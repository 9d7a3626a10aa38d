import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import { Caller } from '../support/caller.js';
import { Replica } from '../support/replica.js';

// What the README shows is run as it stands there, only against a replica of the test's own.

const README = readFileSync('README.md', 'utf8');
const DEFAULT_TARGET = '127.0.0.1:50051';
const run = promisify(execFile);
let replica: Replica;

beforeAll(async () => {
  replica = await Replica.start();
});
afterAll(() => replica?.kill());

/** The first block in the given language that mentions `word`. */
function example(language: string, word: string): string {
  const blocks = [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))];
  const block = blocks.map(([, text]) => text ?? '').find((text) => text.includes(word));
  if (block === undefined) throw new Error(`the README shows no ${language} with ${word}`);
  return block.replaceAll(DEFAULT_TARGET, replica.target);
}

it('calls the service through reflection', async () => {
  const { stdout } = await run('sh', ['-c', example('sh', 'buf curl')]);
  const { lease } = JSON.parse(stdout);
  expect(lease).toMatchObject({ fence: expect.stringMatching(/^\d+$/), reason: 'LEASE_REASON_MISS' });
  const caller = new Caller(replica.target);
  await caller.release({ key: 'user:42', token: lease.token });
  caller.close();
});

it('calls the service with the client', async () => {
  const script = example('ts', '@dibs/client');
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
  expect(JSON.parse(stdout)).toEqual({ id: 42, name: 'Ada' });
});

it('configures a fleet and its namespaces', () => {
  const exported = [...example('sh', 'DIBS_QUORUM_NODES').matchAll(/(DIBS_[A-Z_]+)=(\S+)/g)];
  const env = Object.fromEntries(exported.map(([, name, value]) => [name ?? '', value]));
  const config = loadConfig({ ...env, DIBS_CONFIG: 'policies.yaml' }, () => example('yaml', 'namespaces'));
  expect(config.fleet?.lockNodes).toHaveLength(5);
  expect(config.policies.get('prices')).toMatchObject({ stale: 'allow', onLoss: 'fail', leaseMsMax: 30_000 });
});
