import { GatheredScript, Script } from './script.js';

const keys = ['record'] as const;

export const readScript = new GatheredScript('value-read', { keys, args: ['known_fence', 'bytes_max'] });

export const explainScript = new Script('value-explain', { keys, args: [] });

export const armScript = new GatheredScript('value-arm', {
  keys,
  args: [
    'nonce',
    'expires_in_ms',
    'fence_read',
    'value_fence_read',
    'alone',
    'lease',
    'clock',
    'keep_ms',
    'silence_ms',
    'group',
  ],
});

export const adoptScript = new Script('value-adopt', { keys, args: ['nonce', 'owner', 'lease'] });

export const publishScript = new GatheredScript('value-publish', {
  keys,
  args: [
    'nonce',
    'fence',
    'kind',
    'value',
    'ttl_ms',
    'stale_ms',
    'tags',
    'keep_ms',
    'channel',
    'id',
    'wake_bytes_max',
  ],
});

export const releaseScript = new Script('value-release', {
  keys,
  args: [
    'nonce',
    'owner',
    'last_end',
    'failed',
    'failure',
    'retry_after_ms',
    'backoff_ms',
    'backoff_ms_max',
    'keep_ms',
    'channel',
    'id',
  ],
});

export const extendScript = new Script('value-extend', {
  keys,
  args: ['nonce', 'expires_in_ms', 'alone', 'keep_ms', 'hold_ms', 'group'],
});

export const forgetScript = new Script('value-forget', { keys, args: ['fence'] });

export const invalidateScript = new Script('value-invalidate', {
  keys,
  args: ['mode', 'keep_ms', 'channel', 'id'],
});
