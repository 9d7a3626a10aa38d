import { expect, it } from 'vitest';
import { Deaf } from '../../../../src/grpc/door/deaf.js';

const SILENT_MS = 2_000;

function trial() {
  let nowMs = 0;
  const deaf = new Deaf({ nowMs: () => nowMs });
  const state = {
    read: 0,
    written: 0,
    unsent: false,
    isGivenUp: false,
    mayPing: true,
    answers: false,
    pings: 0,
    ended: false,
  };
  let answer = () => {};
  const line = {
    bytesRead: () => state.read,
    bytesWritten: () => state.written,
    hasUnsent: () => state.unsent,
    ping: (answered: () => void) => {
      if (!state.mayPing) return false;
      state.pings += 1;
      if (!state.isGivenUp) state.written += 17;
      if (state.answers) {
        answer = () => {
          state.read += 17;
          answered();
        };
      }
      return true;
    },
    end: () => {
      state.ended = true;
      deaf.remove(line);
    },
  };
  deaf.add(line);
  const pass = (ms: number) => {
    nowMs += ms;
    answer();
    answer = () => {};
    deaf.sweep();
  };
  return { state, pass };
}

it('ends a connection on which HTTP/2 no longer writes, after a silence and a ping', () => {
  const { state, pass } = trial();
  state.isGivenUp = true;
  pass(SILENT_MS - 1);
  expect(state).toMatchObject({ pings: 0, ended: false });
  pass(1);
  expect(state).toMatchObject({ pings: 1, ended: false });
  pass(500);
  expect(state.ended).toBe(true);
});

it.each([
  ['never answers', false],
  ['answers', true],
])('keeps a connection with a silent client, and pings it once in a silence, if it %s', (_, answers) => {
  const { state, pass } = trial();
  state.answers = answers;
  for (let at = 0; at < 100; at += 1) pass(500);
  expect(state).toMatchObject({ pings: 1, ended: false });
  state.read += 1;
  for (let at = 0; at < 100; at += 1) pass(500);
  expect(state).toMatchObject({ pings: 2, ended: false });
});

it('sends no ping while the client sends', () => {
  const { state, pass } = trial();
  for (let at = 0; at < 100; at += 1) {
    state.read += 1;
    pass(SILENT_MS - 1);
  }
  expect(state.pings).toBe(0);
});

it('keeps a connection whose client does not read, because the ping waits behind the answers', () => {
  const { state, pass } = trial();
  state.isGivenUp = true;
  state.unsent = true;
  for (let at = 0; at < 10; at += 1) pass(SILENT_MS);
  expect(state).toMatchObject({ pings: 0, ended: false });
  state.unsent = false;
  pass(0);
  // An answer was queued in between.
  state.unsent = true;
  pass(500);
  expect(state).toMatchObject({ pings: 1, ended: false });
});

it('keeps a connection that wrote something after the ping, and pings later if it could not ping', () => {
  const { state, pass } = trial();
  state.isGivenUp = true;
  state.mayPing = false;
  pass(SILENT_MS);
  pass(500);
  expect(state).toMatchObject({ pings: 0, ended: false });
  state.mayPing = true;
  pass(500);
  state.written += 1;
  pass(500);
  expect(state).toMatchObject({ pings: 1, ended: false });
});
