import { afterEach, expect, it, vi } from 'vitest';
import { logLibraryOutput } from '../../../src/telemetry/library-output.js';

let end = () => {};
afterEach(() => end());

it('the output of libraries is logged, with the texts of Node only', () => {
  const warn = vi.fn();
  const printed = vi.spyOn(process.stderr, 'write');
  end = logLibraryOutput({ warn });
  process.emit('warning', Object.assign(new Error('Unresolved tag: secret'), { name: 'YAMLWarning' }));
  process.emit('warning', Object.assign(new Error('x is deprecated'), { name: 'DeprecationWarning' }));
  console.error('[ioredis] Unhandled error event:', new Error('secret'));
  console.warn('secret');
  console.trace('secret');
  expect(warn.mock.calls.map(([fields]) => fields)).toEqual([
    { name: 'YAMLWarning' },
    { name: 'DeprecationWarning', message: 'x is deprecated' },
    { name: '[ioredis]' },
    { name: 'unknown' },
    { name: 'unknown' },
  ]);
  expect(printed).not.toHaveBeenCalled();
  printed.mockRestore();
});

it('the previous output is restored', () => {
  const [before, listeners] = [console.error, process.listeners('warning')];
  logLibraryOutput({ warn: () => {} })();
  expect(console.error).toBe(before);
  expect(process.listeners('warning')).toEqual(listeners);
});
