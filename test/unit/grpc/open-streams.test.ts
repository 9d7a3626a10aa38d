import { EventEmitter } from 'node:events';
import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { OpenStreams } from '../../../src/grpc/open-streams.js';

function stream() {
  const errors: unknown[] = [];
  const emitter = new EventEmitter();
  emitter.on('error', (error) => errors.push(error));
  return { emitter, errors };
}

it('ends open streams once, and leaves closed ones alone', () => {
  const streams = new OpenStreams();
  const [open, closed] = [stream(), stream()];
  streams.add(open.emitter);
  streams.add(closed.emitter);
  closed.emitter.emit('close');
  streams.end();
  streams.end();
  expect(open.errors).toEqual([{ code: status.UNAVAILABLE, details: 'this replica is stopping' }]);
  expect(closed.errors).toEqual([]);
});
