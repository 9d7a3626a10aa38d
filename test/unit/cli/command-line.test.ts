import { describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command-line.js';

/** No server listens there. */
const NOWHERE = '127.0.0.1:1';

async function run(args: string[], env: Record<string, string> = {}) {
  const written = { out: '', err: '' };
  const into = (stream: 'out' | 'err') => ({
    write: (text: string) => {
      written[stream] += text;
    },
  });
  const code = await runCommandLine(args, {
    env: { DIBS_TARGET: NOWHERE, ...env },
    version: '1.2.3',
    out: into('out'),
    err: into('err'),
    diagnose: () => Promise.reject(new Error('not here')),
    interrupted: () => new AbortController().signal,
  });
  return { code, ...written };
}

describe('the command line', () => {
  it.each([
    [['explain', 'k'], { DIBS_TOKEN: 'secret\n' }, 'DIBS_TOKEN: has characters that a header cannot carry'],
    [['top'], { DIBS_TOKEN: 'sec\nret' }, 'DIBS_TOKEN: has characters that a header cannot carry'],
    [
      ['invalidate', 'k', '--target', 'replica.test:50051'],
      { DIBS_TOKEN: 'secret' },
      'DIBS_TOKEN: would travel unencrypted to replica.test:50051: use TLS, or',
    ],
    [
      ['top', '--http', 'http://127.0.0.1:1', '--http', 'http://replica.test:9464'],
      { DIBS_TOKEN: 'secret' },
      'DIBS_TOKEN: would travel unencrypted to http://replica.test:9464: use TLS, or',
    ],
  ])('neither shows a token nor sends it in clear to another machine: %j', async (args, env, line) => {
    const { code, out, err } = await run(args, env);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^dibs: [^\n]*\n$/);
    expect(err).toContain(line);
    expect(err).not.toMatch(/secret|ret"/);
  });

  it('sends a token to this machine, and to another one if that is allowed', async () => {
    const env = { DIBS_TOKEN: 'secret' };
    for (const target of [NOWHERE, 'localhost:1', 'dns:///[::1]:1', 'unix:///nowhere']) {
      expect((await run(['explain', 'k', '--target', target], env)).err).toContain('does not answer');
    }
    const allowed = ['explain', 'k', '--target', 'replica.invalid:1', '--allow-insecure-token'];
    expect((await run(allowed, env)).err).toContain('replica.invalid:1 does not answer');
  });

  it('lists all commands, and describes each', async () => {
    for (const name of ['explain', 'invalidate', 'top']) {
      expect((await run(['--help'])).out).toContain(name);
      for (const args of [
        [name, '--help'],
        [name, 'x', '--unknown', '-h'],
      ]) {
        expect(await run(args)).toEqual({ code: 0, out: expect.stringMatching(`^dibs ${name}`), err: '' });
      }
    }
    expect(await run(['--version'])).toEqual({ code: 0, out: '1.2.3\n', err: '' });
    expect(await run([])).toEqual({ code: 2, out: '', err: (await run(['--help'])).out });
  });

  it.each([
    [['look'], "there is no command 'look'"],
    [['explain'], 'explain needs one KEY, not 0'],
    [['explain', 'a', 'b'], 'explain needs one KEY, not 2'],
    [['explain', '--jason', 'a'], "Unknown option '--jason'"],
    [['explain', '--target', '-n', 'a'], 'argument is ambiguous. Did'],
    [['invalidate'], 'invalidate needs KEY..., --tag TAG or --all'],
    [['invalidate', '--all', 'a', '--yes'], 'remove KEY and --tag'],
    [['invalidate', '--all', '--tag', 'a', '--yes'], 'remove KEY and --tag'],
    [
      ['invalidate', '-n', 'prices', '--all'],
      'drops every value in the namespace prices: add --yes to confirm',
    ],
    [['invalidate', '--all', '--mark-stale'], 'marks every value stale in the namespace default'],
    [
      ['invalidate', '--namespace', '', '--all', '--yes'],
      '--namespace: is empty, perhaps because of an unset variable',
    ],
    [['explain', '--target', '', 'a'], '--target: is empty, perhaps because of an unset variable'],
    [['top', 'a'], "Unexpected argument 'a'"],
    [['top', '--http', 'localhost:9464'], "--http: 'localhost:9464' is not a URL like http://127.0.0.1:9464"],
  ])('refuses %j in one line, and sends nothing', async (args, line) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^dibs: [^\n]*\n$/);
    expect(err).toContain(line);
  });

  it.each([
    [['explain', 'a'], `${NOWHERE} does not answer`],
    [['explain', '--', '--help'], `${NOWHERE} does not answer`],
    [['invalidate', 'a'], `${NOWHERE} does not answer`],
    [['explain', '--target', '127.0.0.1:2', 'a'], '127.0.0.1:2 does not answer'],
  ])('reports in one line that %j reaches no replica', async (args, line) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^dibs: [^\n]*\n$/);
    expect(err).toContain(line);
  });

  it('escapes control characters of the command line', async () => {
    expect((await run(['\u001b[2J'])).err).toContain('\\u001b[2J');
  });
});
