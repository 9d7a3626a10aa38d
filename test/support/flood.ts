import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { endWithThisProcess } from './end-with-this-process.js';

/** What an attack managed to open. */
export interface Flooded {
  readonly opened: number;
  readonly connected: number;
}

/** Attacks a replica for `ms` from a separate process, so that this one is free to measure. */
export function flood(
  target: string,
  kind: 'calls' | 'probes' | 'resets',
  connections: number,
  ms: number,
): Promise<Flooded> {
  return run('flood.mjs', target, kind, connections, ms);
}

/** The same with messages of sessions: `opened` counts these. */
export function floodSessions(
  target: string,
  kind: 'empty' | 'cancellations' | 'calls without a request',
  sessions: number,
  ms: number,
  token: string,
): Promise<Flooded> {
  return run('message-flood.mjs', target, kind, sessions, ms, token);
}

/** The same for its pages. The kind is a path, or `pipelined`. */
export function floodHttp(url: string, kind: string, connections: number, ms: number): Promise<Flooded> {
  return run('flood-http.mjs', url, kind, connections, ms);
}

/** The same with new connections, to gRPC or to HTTP. */
export function floodConnections(
  target: string,
  kind: 'nothing' | 'garbage' | 'preface' | 'hello',
  parallel: number,
  ms: number,
): Promise<Flooded> {
  return run('flood-connections.mjs', target, kind, parallel, ms);
}

async function run(script: string, ...options: readonly (string | number)[]): Promise<Flooded> {
  const args = [`test/support/${script}`, ...options.map(String)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  endWithThisProcess(child);
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the flood ended with code ${code}`);
  return JSON.parse(output);
}
