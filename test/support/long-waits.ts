import { vi } from 'vitest';

const WAIT_MS_MAX = 20_000;

const { waitFor } = vi;

// Vitest's default is a second, and unlike that of `expect.poll`, it is not in the configuration. If the process itself
// is held up for so long, the wait ends before anything else has had a turn.
vi.waitFor = (callback, options = WAIT_MS_MAX) => waitFor(callback, options);
