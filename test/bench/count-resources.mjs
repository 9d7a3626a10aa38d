// Imported into a replica. On SIGUSR2 it begins to count the promises, timers and other asynchronous resources that are
// created, and where every 16th promise is created. On the next SIGUSR2 it writes the counts to COUNTS_FILE for
// counts.ts.
import { createHook } from 'node:async_hooks';
import { renameSync, writeFileSync } from 'node:fs';

const SAMPLED = 16;
const file = process.env.COUNTS_FILE;
const counts = {};
const places = {};
let isRunning = false;
let promises = 0;

function add(to, name, count) {
  to[name] = (to[name] ?? 0) + count;
}

/** The first stack line in our own code or in a package. */
function place() {
  const lines = new Error().stack?.split('\n').slice(3) ?? [];
  const line = lines.find((it) => /\/(dist|node_modules)\//.test(it)) ?? 'elsewhere';
  return line
    .replace(/^\s*at (async )?/, '')
    .replace(/\(?(file:\/\/)?\/.*\/(dist|node_modules)\/(.*?):\d+\)?$/, '$3');
}

const hook = createHook({
  init(_id, type) {
    add(counts, type, 1);
    if (type !== 'PROMISE') return;
    promises += 1;
    if (promises % SAMPLED === 0) add(places, place(), SAMPLED);
  },
});

process.on('SIGUSR2', () => {
  if (isRunning) {
    hook.disable();
    writeFileSync(`${file}.part`, JSON.stringify({ counts, places }));
    renameSync(`${file}.part`, file);
  } else hook.enable();
  isRunning = !isRunning;
});
