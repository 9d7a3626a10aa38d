import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { beforeEach, expect, it } from 'vitest';
import { type Channel, MainLink } from '../../../src/workers/main-link.js';
import type { ToMain, ToWorker } from '../../../src/workers/messages.js';
import { until } from '../../support/until.js';

class FakeChannel extends EventEmitter {
  connected = true;
  readonly sent: ToMain[] = [];

  send(message: ToMain): void {
    this.sent.push(message);
  }

  says(message: ToWorker, socket?: unknown): void {
    this.emit('message', message, socket);
  }
}

let channel: FakeChannel;
let heard: string[];
let link: MainLink;

function linkOf(): MainLink {
  const told = (what: string) => () => void heard.push(what);
  const parts = { reload: told('reload'), stop: told('stop'), orphaned: told('orphaned') };
  return new MainLink(channel as unknown as Channel, parts);
}

beforeEach(() => {
  channel = new FakeChannel();
  heard = [];
  link = linkOf();
});

const connection = { kind: 'connection', address: 'unix:///a' } as const;

it('answers questions, with an empty answer if there is none', async () => {
  channel.says({ kind: 'ask', id: 1, what: 'metrics' });
  link.answerBy(async (what) => {
    if (what === 'console') throw new Error('no');
    return `of ${what}`;
  });
  channel.says({ kind: 'ask', id: 2, what: 'metrics' });
  channel.says({ kind: 'ask', id: 3, what: 'console' });
  await until(() => channel.sent.length === 3);
  expect(channel.sent).toEqual(
    expect.arrayContaining([
      { kind: 'answer', id: 1, answer: undefined },
      { kind: 'answer', id: 2, answer: 'of metrics' },
      { kind: 'answer', id: 3 },
    ]),
  );
});

it('passes on a connection within the event, and reports its end', async () => {
  const taken: unknown[] = [];
  link.passTo((socket, address) => taken.push([socket, address]));
  const socket = new PassThrough() as unknown as Socket;
  channel.says(connection, socket);
  expect(taken).toEqual([[socket, 'unix:///a']]);
  expect(channel.sent).toEqual([]);
  socket.destroy();
  await until(() => channel.sent.length === 1);
  expect(channel.sent).toEqual([{ kind: 'closed' }]);
});

it('closes a connection that comes too early or too late, and counts one that ended on its way', async () => {
  const early = new PassThrough();
  channel.says(connection, early);
  link.passTo(() => {
    throw new Error('no connection expected');
  });
  link.enough();
  const late = new PassThrough();
  channel.says(connection, late);
  channel.says(connection, undefined);
  expect([early.destroyed, late.destroyed]).toEqual([true, true]);
  await until(() => channel.sent.length === 4);
  expect(channel.sent.filter(({ kind }) => kind === 'closed')).toHaveLength(3);
});

it('passes on the orders of the main process, and answers its pings', () => {
  channel.says({ kind: 'reload' });
  channel.says({ kind: 'stop' });
  channel.says({ kind: 'ping' });
  link.serving();
  expect(heard).toEqual(['reload', 'stop']);
  expect(channel.sent).toEqual([{ kind: 'pong' }, { kind: 'serving' }]);
});

it('notices that the main process is gone, even if it went before the link existed', () => {
  channel.connected = false;
  channel.emit('disconnect');
  expect(heard).toEqual(['orphaned']);
  linkOf();
  expect(heard).toEqual(['orphaned', 'orphaned']);
  // No process would receive it.
  link.serving();
  expect(channel.sent).toEqual([]);
});
