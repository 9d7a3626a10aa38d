// Plays this client's part in the conformance scenarios. Commands arrive as lines of JSON; answers and events leave as
// lines of JSON. test/conformance/README.md describes them.
import { createInterface } from 'node:readline';
import {
  DibsBusyError,
  DibsError,
  DibsManyError,
  RebuildFailedError,
  ReentrantRebuildError,
  UndecodableError,
} from '../src/errors.js';
import { Actor, base64ByKey } from './actor.js';
import { RebuildError, UnreadableError } from './rebuild-script.js';

type Command = Record<string, unknown> & { readonly id: number; readonly do: string };

const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
const actor = new Actor(print);

function faultOf(error: unknown): object {
  if (error instanceof UnreadableError) return { kind: 'rebuild' };
  if (error instanceof RebuildError) return { kind: 'rebuild', message: error.message };
  if (error instanceof RebuildFailedError) {
    return { kind: 'rebuild_failed', message: error.message, retry_after_ms: error.retryAfterMs };
  }
  if (error instanceof DibsBusyError) {
    return { kind: 'busy', reason: error.reason, retry_after_ms: error.retryAfterMs };
  }
  if (error instanceof DibsManyError) {
    const errors = [...error.errors].map(([key, one]) => [key, faultOf(one)]);
    return {
      ...{ kind: 'many', message: error.message },
      ...{ errors: Object.fromEntries(errors), values: base64ByKey(error.values) },
    };
  }
  if (error instanceof ReentrantRebuildError) return { kind: 'reentrant', message: error.message };
  if (error instanceof UndecodableError) return { kind: 'undecodable', message: error.message };
  if (error instanceof DibsError) {
    const { code, message, retryAfterMs } = error;
    if (code === 'CANCELLED') return { kind: 'cancelled' };
    return { kind: 'dibs', code, message, retry_after_ms: retryAfterMs };
  }
  if (error instanceof Error && error.name === 'AbortError') return { kind: 'cancelled' };
  // A rebuild may throw anything.
  return typeof error === 'string'
    ? { kind: 'rebuild', message: error }
    : { kind: 'unexpected', message: String(error) };
}

async function play({ id, do: what, ...command }: Command): Promise<void> {
  try {
    print({ id, result: await actor.act(what, command) });
  } catch (error) {
    print({ id, error: faultOf(error) });
  }
}

// What the client logs as a warning goes through Node's own.
process.on('warning', ({ name, message }) => {
  if (name === 'DibsWarning') print({ event: 'warning', text: message });
});
print({ event: 'ready' });
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => void play(JSON.parse(line)));
lines.on('close', () => process.exit(0));
