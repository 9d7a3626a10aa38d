import type { Invalidate } from '../coordination/requests.js';
import type { Logger } from './logger.js';

/**
 * Who was denied what, and who invalidated what: a line each, within the log's bound on repetition. Counts, and
 * never a key: what is invalidated may be somebody's name.
 */
export function auditLog(log: Pick<Logger, 'info' | 'warn'>) {
  return {
    denied: (identity: string, method: string, namespace: string, permission: string) =>
      log.warn(
        { identity, method, ...(permission === '' ? {} : { namespace, permission }) },
        permission === '' ? 'audit: a caller is not known' : 'audit: a permission is missing',
      ),
    invalidated: (
      identity: string,
      { namespace, keys, tags, all, mode }: Pick<Invalidate, 'namespace' | 'keys' | 'tags' | 'all' | 'mode'>,
    ) =>
      log.info(
        { identity, namespace, keys: keys.length, tags: tags.length, all, mode },
        'audit: an invalidation',
      ),
  };
}
