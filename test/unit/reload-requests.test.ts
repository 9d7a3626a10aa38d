import { expect, it } from 'vitest';
import { ReloadRequests } from '../../src/reload-requests.js';

it('a request during the start is answered once when the start is complete, and later ones at once', () => {
  let reloads = 0;
  const requests = new ReloadRequests();
  requests.ask();
  requests.ask();
  requests.answerBy(() => {
    reloads += 1;
  });
  expect(reloads).toBe(1);
  requests.ask();
  expect(reloads).toBe(2);
});

it('without a request, nothing is reloaded', () => {
  const requests = new ReloadRequests();
  requests.answerBy(() => expect.unreachable());
});
