import { expect, it } from 'vitest';
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
