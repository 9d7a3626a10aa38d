// Imported into a replica. On SIGUSR2 it writes the longest stall of the event loop since the last time, in
// milliseconds, to LOOP_DELAY_FILE.
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
process.on('SIGUSR2', () => {
  writeFileSync(process.env.LOOP_DELAY_FILE, `${delay.max / 1e6}\n`);
  delay.reset();
});
