import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { ownAddress } from '../support/real-jaeger.js';

// What takes the output of a service may be full or gone. The service goes on, and ends when it is told to.

/** A disk without room, on Linux. */
const FULL = '/dev/full';
const processes: ChildProcess[] = [];
afterEach(() => {
  for (const child of processes.splice(0)) child.kill('SIGKILL');
});

type Output = 'pipe' | number;

/** A replica that warns at its start, because others could reach it. */
function start(http: string, stdout: Output, stderr: Output): ChildProcess {
  const child = spawn(process.execPath, ['dist/main.js'], {
    env: {
      PATH: process.env.PATH,
      DIBS_LISTEN: '0.0.0.0:0',
      DIBS_INSECURE: 'true',
      DIBS_HTTP_LISTEN: http,
    },
    stdio: ['ignore', stdout, stderr],
  });
  endWithThisProcess(child);
  processes.push(child);
  return child;
}

async function serves(http: string): Promise<void> {
  const isReady = async () => (await fetch(`http://${http}/readyz`).catch(() => undefined))?.status;
  await expect.poll(isReady, { timeout: 60_000 }).toBe(200);
}

async function stops(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
}

it.runIf(existsSync(FULL))('on a full disk', async () => {
  const http = `${ownAddress()}:9464`;
  const full = openSync(FULL, 'w');
  const child = start(http, full, full);
  closeSync(full);
  await serves(http);
  await stops(child);
});

it('with readers that have ended', async () => {
  const http = `${ownAddress()}:9464`;
  const child = start(http, 'pipe', 'pipe');
  child.stdout?.destroy();
  child.stderr?.destroy();
  await serves(http);
  await stops(child);
});

it('with a reader of the log that ends before the service, as after Ctrl-C in a pipeline', async () => {
  const http = `${ownAddress()}:9464`;
  const child = start(http, 'pipe', 'pipe');
  const line = once(createInterface({ input: child.stderr as NodeJS.ReadableStream }), 'line');
  expect(String(await line)).toMatch('embedded mode, reachable from other machines');
  await serves(http);
  child.stderr?.destroy();
  await stops(child);
});
