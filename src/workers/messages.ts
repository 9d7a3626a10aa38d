/** What one process asks of a worker: its metrics, its part of the console, or whether it has reached the fleet once. */
export type Asked = 'metrics' | 'console' | 'started';

/** From the main process to a worker. */
export type ToWorker =
  /** Comes with a socket: a connection that the main process accepted at this address. */
  | { readonly kind: 'connection'; readonly address: string }
  | { readonly kind: 'ask'; readonly id: number; readonly what: Asked }
  /** Answered at once by a worker whose event loop turns. */
  | { readonly kind: 'ping' }
  | { readonly kind: 'reload' }
  | { readonly kind: 'stop' };

/** From a worker to the main process. */
export type ToMain =
  | { readonly kind: 'serving' }
  /** It drains, and takes no further connection. */
  | { readonly kind: 'enough' }
  /** A connection of it has ended. */
  | { readonly kind: 'closed' }
  /** `answer` is absent if there is none, because it still starts or because it failed. */
  | { readonly kind: 'answer'; readonly id: number; readonly answer?: unknown }
  | { readonly kind: 'pong' };
