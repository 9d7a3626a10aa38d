import { expect, it, vi } from 'vitest';
import { type LogFile, LogOutput } from '../../../src/telemetry/log-output.js';

type Written = (error: NodeJS.ErrnoException | null, bytes: number) => void;

/** A file whose writes end when the test says so. */
function trial() {
  const running: { readonly bytes: Buffer; readonly done: Written }[] = [];
  const last: string[] = [];
  const lastErrors: string[] = [];
  const file: LogFile = {
    write: (bytes, done) => running.push({ bytes, done }),
    writeSync: (bytes) => {
      const code = lastErrors.shift();
      if (code !== undefined) throw errorOf(code);
      last.push(bytes.toString());
      return bytes.length;
    },
  };
  const output = new LogOutput(file, (lost) => `lost ${lost}\n`);
  const end = (result: { wrote?: number; code?: string } = {}): string => {
    const { bytes, done } = running.shift() ?? expect.unreachable('nothing is being written');
    if (result.code === undefined) done(null, result.wrote ?? bytes.length);
    else done(errorOf(result.code), 0);
    return bytes.toString();
  };
  return { output, end, last, lastErrors, running };
}

function errorOf(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

it('lines that come during a write are written together after it', () => {
  const { output, end, running } = trial();
  for (const line of ['a\n', 'b\n', 'c\n']) output.write(line);
  expect(end()).toBe('a\n');
  expect(end()).toBe('b\nc\n');
  expect(running).toEqual([]);
});

it('the rest of a write that took only a part follows', () => {
  const { output, end } = trial();
  output.write('abc\n');
  output.write('d\n');
  expect(end({ wrote: 2 })).toBe('abc\n');
  expect(end()).toBe('c\nd\n');
});

it.each(['ENOSPC', 'EAGAIN'])('after %s, lines wait until there is room', (code) => {
  vi.useFakeTimers();
  const { output, end, running } = trial();
  output.write('a\n');
  end({ code });
  output.write('b\n');
  expect(running).toEqual([]);
  vi.advanceTimersByTime(100);
  expect(end()).toBe('a\nb\n');
  vi.useRealTimers();
});

it('without room, only so much waits, and what is lost is told once there is room', () => {
  vi.useFakeTimers();
  const { output, end, running } = trial();
  const line = `${'x'.repeat(1_023)}\n`;
  output.write(line);
  end({ code: 'ENOSPC' });
  for (let at = 0; at < 2_000; at += 1) output.write(line);
  vi.advanceTimersByTime(100);
  expect(end()).toHaveLength(1_048_576);
  expect(end()).toBe('lost 977\n');
  output.write('after\n');
  expect(end()).toBe('after\n');
  expect(running).toEqual([]);
  vi.useRealTimers();
});

it('without a reader, nothing waits', () => {
  const { output, end, last } = trial();
  output.write('a\n');
  output.write('b\n');
  end({ code: 'EPIPE' });
  output.end();
  expect(last).toEqual([]);
});

it('at the end, everything is written that is not being written', () => {
  const { output, last, lastErrors } = trial();
  output.write('a\n');
  output.write('b\n');
  lastErrors.push('EAGAIN');
  output.end();
  expect(last).toEqual(['b\n']);
});

it.each(['ENOSPC', 'EPIPE'])('at the end, %s ends it', (code) => {
  const { output, end, last, lastErrors } = trial();
  output.write('a\n');
  end({ code: 'ENOSPC' });
  lastErrors.push(code);
  output.end();
  expect(last).toEqual([]);
});
