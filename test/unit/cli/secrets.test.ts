import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { MISUSED } from '../../../src/cli/command.js';
import { runCommandLine } from '../../../src/cli/command-line.js';

const PASSWORD = 'pa55word-of-mine';

/** What a command writes that refuses its command line or environment. */
async function writtenBy(args: readonly string[], env: Record<string, string>): Promise<string> {
  const written: string[] = [];
  const out = { write: (text: string) => written.push(text) };
  const code = await runCommandLine(args, {
    env,
    version: '',
    out,
    err: out,
    diagnose: () => Promise.reject(new Error('not here')),
    interrupted: () => AbortSignal.abort(),
  });
  expect(code, written.join('')).toBe(MISUSED);
  return written.join('');
}

it('a key that is set as DIBS_TLS_CA instead of a path is not repeated', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const der = privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64');
  for (const content of [pem, pem.replaceAll('\n', ' '), Buffer.from(pem).toString('base64'), der]) {
    for (const command of ['explain', 'invalidate']) {
      expect(await writtenBy([command, 'key'], { DIBS_TLS_CA: content })).toBe(
        'dibs: DIBS_TLS_CA: cannot be read, and looks like the content of a file; set the path of the file\n',
      );
    }
  }
});

it('a password in an address is not repeated', async () => {
  for (const target of [`user:${PASSWORD}@host:1`, `https://user:${PASSWORD}@host:1`, `${PASSWORD}@host:1`]) {
    const said = 'dibs: --target (DIBS_TARGET): has a user or a password, or another @; set HOST:PORT\n';
    expect(await writtenBy(['explain', 'key', '--target', target], {})).toBe(said);
    expect(await writtenBy(['explain', 'key'], { DIBS_TARGET: target })).toBe(said);
    for (const token of ['', 'token']) {
      const top = await writtenBy(['top', '--http', target], { DIBS_TOKEN: token });
      expect(top).toMatch(/^dibs: --http: has a user or a password/);
      expect(top).not.toContain(PASSWORD);
    }
  }
});
