import type { Config } from './config.js';

/**
 * The configuration of one worker: bounds of memory and of connections are those of the whole process tree, and each
 * worker has an equal share. Everything else is the same for all. `worker` counts from 1.
 */
export function shareOfWorker(config: Config, worker: number): Config {
  const { limits, workers } = config;
  const share = (bound: number) => Math.floor(bound / workers);
  return Object.freeze({
    ...config,
    worker,
    limits: Object.freeze({
      ...limits,
      waitersMax: share(limits.waitersMax),
      waitersPerKeyMax: share(limits.waitersPerKeyMax),
    }),
    nearCacheBytes: share(config.nearCacheBytes),
    connectionsMax: share(config.connectionsMax),
    unsentBytesMax: share(config.unsentBytesMax),
  });
}
