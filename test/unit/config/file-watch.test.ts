import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileWatch } from '../../../src/config/file-watch.js';
import { until } from '../../support/until.js';

let dir: string;
let watch: FileWatch<string> | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dibs-watch-'));
});
afterEach(() => {
  watch?.stop();
  rmSync(dir, { recursive: true });
});

/** Watches files whose texts are joined. A text with `bad` is a fault. */
function watched(
  names: readonly string[],
  texts: readonly string[],
  everyMs = 3_600_000,
  mayBecomeValid = true,
) {
  const changed: string[] = [];
  const refused: (readonly string[])[] = [];
  let parsed = 0;
  const paths = names.map((name) => join(dir, name));
  const it = new FileWatch<string>(
    {
      paths,
      texts,
      mayBecomeValid,
      parse: (read) => {
        parsed += 1;
        try {
          const content = paths.map(read).join('+');
          return content.includes('bad')
            ? { content: undefined, faults: [content] }
            : { content, faults: [] };
        } catch (error) {
          return { content: undefined, faults: [(error as Error).message] };
        }
      },
      changed: (content) => changed.push(content),
      refused: (faults) => refused.push(faults),
    },
    everyMs,
  );
  watch = it;
  return { watch: it, changed, refused, parsed: () => parsed };
}

const write = (name: string, text: string) => writeFileSync(join(dir, name), text);

it('a change is taken over once, and unchanged files are not parsed', async () => {
  write('a', 'one');
  write('b', 'two');
  const { watch, changed, refused, parsed } = watched(['a', 'b'], ['one', 'two']);
  await watch.check();
  expect(parsed()).toBe(0);
  write('b', 'three');
  await watch.check();
  await watch.check();
  expect(changed).toEqual(['one+three']);
  expect(refused).toEqual([]);
});

it('bad content is reported once and the old is kept, until the new content is good', async () => {
  write('a', 'one');
  const { watch, changed, refused, parsed } = watched(['a'], ['one']);
  write('a', 'bad');
  for (let at = 0; at < 3; at += 1) await watch.check();
  expect(refused).toEqual([['bad']]);
  // The fault may be one of time, so the content is judged again each time.
  expect(parsed()).toBe(3);
  write('a', 'worse and bad');
  await watch.check();
  expect(refused).toEqual([['bad'], ['worse and bad']]);
  write('a', 'good');
  await watch.check();
  expect(changed).toEqual(['good']);
  write('a', 'bad');
  await watch.check();
  expect(refused).toHaveLength(3);
  write('a', 'good');
  await watch.check();
  write('a', 'bad');
  await watch.check();
  expect(refused).toHaveLength(4);
  expect(changed).toEqual(['good']);
});

it('refused content that cannot become valid is parsed once', async () => {
  write('a', 'one');
  const { watch, changed, refused, parsed } = watched(['a'], ['one'], undefined, false);
  for (const text of ['bad', 'bad', 'worse and bad', 'worse and bad', 'one', 'bad', 'good', 'bad']) {
    write('a', text);
    await watch.check();
  }
  expect(parsed()).toBe(5);
  expect(refused).toEqual([['bad'], ['worse and bad'], ['bad'], ['bad']]);
  expect(changed).toEqual(['good']);
});

it('a file that becomes something else is reported again', async () => {
  const { watch, refused } = watched(['a'], ['one'], undefined, false);
  mkdirSync(join(dir, 'a'));
  await watch.check();
  rmSync(join(dir, 'a'), { recursive: true });
  execFileSync('mkfifo', [join(dir, 'a')]);
  await watch.check();
  await watch.check();
  expect(refused).toEqual([
    [expect.stringMatching('^it is a folder')],
    [expect.stringMatching('^it is a named pipe')],
  ]);
});

it('a file may be missing for a while', async () => {
  write('a', 'one');
  const { watch, changed, refused } = watched(['a'], ['one']);
  rmSync(join(dir, 'a'));
  await watch.check();
  expect(refused).toEqual([[expect.stringMatching('ENOENT')]]);
  write('a', 'two');
  await watch.check();
  expect(changed).toEqual(['two']);
});

it('swapped links, as in Kubernetes, are noticed without a call', async () => {
  const place = (name: string, text: string) => {
    mkdirSync(join(dir, name));
    write(`${name}/tls.crt`, text);
  };
  place('..1', 'one');
  symlinkSync('..1', join(dir, '..data'));
  symlinkSync('..data/tls.crt', join(dir, 'tls.crt'));
  const { changed } = watched(['tls.crt'], ['one'], 10);
  place('..2', 'two');
  symlinkSync('..2', join(dir, '..data_tmp'));
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
  await until(() => changed.length > 0);
  expect(changed).toEqual(['two']);
});

it('a stopped watch no longer reads', async () => {
  write('a', 'one');
  const { watch, changed } = watched(['a'], ['one'], 5);
  watch.stop();
  write('a', 'two');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(changed).toEqual([]);
});

it('the files count as refused until they are good, or as they were', async () => {
  write('a', 'one');
  const { watch } = watched(['a'], ['one'], undefined, false);
  await watch.check();
  expect(watch.isRefused).toBe(false);
  for (const text of ['bad', 'bad', 'another bad']) {
    write('a', text);
    await watch.check();
    expect(watch.isRefused).toBe(true);
  }
  write('a', 'one');
  await watch.check();
  expect(watch.isRefused).toBe(false);
  write('a', 'bad');
  await watch.check();
  write('a', 'two');
  await watch.check();
  expect(watch.isRefused).toBe(false);
});
