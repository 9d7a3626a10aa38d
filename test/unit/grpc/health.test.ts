import { EventEmitter } from 'node:events';
import { status } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { expect, it, vi } from 'vitest';
import { Health } from '../../../src/grpc/health.js';
import { OpenStreams } from '../../../src/grpc/open-streams.js';

it('the health is NOT_SERVING until it is set, and again once it is unset', () => {
  const health = new Health(new OpenStreams());
  const check = (service: string) => {
    let answer: unknown;
    const handler = health.service.implementation.check as unknown as (
      call: object,
      done: (error: unknown, reply: unknown) => void,
    ) => void;
    handler({ request: { service } }, (error, reply) => {
      answer = error ?? reply;
    });
    return answer;
  };
  const both = () => [check(''), check('dibs.v1.CoordinatorService')];
  const states = [both()];
  health.setServing(true);
  states.push(both());
  health.setServing(false);
  states.push(both());
  const twice = (status: string) => [{ status }, { status }];
  expect(states).toEqual([twice('NOT_SERVING'), twice('SERVING'), twice('NOT_SERVING')]);
});

/** A stream that asks for the status of `service`, and what it got. */
function watch(health: Health, service: string): { readonly got: unknown[]; readonly stream: EventEmitter } {
  const got: unknown[] = [];
  const stream = Object.assign(new EventEmitter(), {
    request: { service },
    write: (answer: unknown) => got.push(answer),
  });
  stream.on('error', (error) => got.push(error));
  (health.service.implementation.watch as unknown as (stream: object) => void)(stream);
  return { got, stream };
}

it('keeps nothing of a service that it does not know, because probes need no token', () => {
  const kept = vi.spyOn(HealthImplementation.prototype as unknown as { addWatcher(): void }, 'addWatcher');
  const health = new Health(new OpenStreams());
  const unknown = watch(health, 'shop.Service');
  expect(unknown.got).toEqual([{ status: 'SERVICE_UNKNOWN' }]);
  expect(kept).not.toHaveBeenCalled();
  const known = watch(health, '');
  health.setServing(true);
  expect(known.got).toEqual([{ status: 'NOT_SERVING' }, { status: 'SERVING' }]);
  expect(kept).toHaveBeenCalledTimes(1);
  kept.mockRestore();
});

it('refuses a long name without repeating it', () => {
  const health = new Health(new OpenStreams());
  const { check } = health.service.implementation as unknown as {
    check(call: object, done: (error: unknown) => void): void;
  };
  const refused = {
    code: status.INVALID_ARGUMENT,
    details: 'service: 257 characters is outside 0 to 256',
  };
  const got: unknown[] = [];
  check({ request: { service: 'x'.repeat(257) } }, (error) => got.push(error));
  check({ request: { service: 'x'.repeat(256) } }, (error) => got.push(error));
  expect(got).toEqual([refused, expect.objectContaining({ code: status.NOT_FOUND })]);
  expect(watch(health, 'x'.repeat(257)).got).toEqual([refused]);
  expect(watch(health, 'x'.repeat(256)).got).toEqual([{ status: 'SERVICE_UNKNOWN' }]);
});
