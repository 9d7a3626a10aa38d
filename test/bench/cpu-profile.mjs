// Imported into a replica. On SIGUSR2 it begins to profile its CPU. On the next SIGUSR2 it writes the profile to
// CPU_PROFILE_FILE, for Chrome's developer tools and for profile.ts.
import { renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';

const SAMPLE_US = 250;
const file = process.env.CPU_PROFILE_FILE;
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
let isRunning = false;
process.on('SIGUSR2', () => {
  if (isRunning) {
    session.post('Profiler.stop', (_error, { profile }) => {
      writeFileSync(`${file}.part`, JSON.stringify(profile));
      renameSync(`${file}.part`, file);
    });
  } else session.post('Profiler.start');
  isRunning = !isRunning;
});
