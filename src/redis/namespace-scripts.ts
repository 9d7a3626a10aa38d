import { Script } from './script.js';

const hash = ['namespace'] as const;
const places = ['places'] as const;

export const lookNamespaceScript = new Script('namespace-look', { keys: hash, args: ['fresh_id', 'tags'] });

export const invalidateNamespaceScript = new Script('namespace-invalidate', {
  keys: hash,
  args: ['fresh_id', 'tags', 'mode', 'stamps_max', 'channel', 'name'],
});

export const learnScript = new Script('namespace-learn', { keys: hash, args: ['took_us'] });

export const enterScript = new Script('places-enter', {
  keys: places,
  args: ['place', 'max', 'ttl_ms', 'ttl_ms_max'],
});

export const keepScript = new Script('places-keep', { keys: places, args: ['place', 'as', 'ttl_ms'] });

export const leaveScript = new Script('places-leave', { keys: places, args: ['place', 'channel', 'name'] });
