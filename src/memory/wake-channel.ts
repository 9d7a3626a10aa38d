import type { NamespaceWake, Wake, WakeChannel, WakeListener } from '../coordination/ports/wake-channel.js';

/** Wakes within one process. It is always live and loses nothing. */
export class MemoryWakeChannel implements WakeChannel {
  live = true;
  readonly #listeners = new Set<WakeListener>();

  listen(listener: WakeListener): () => void {
    // Each call has its own listener: the same object may listen twice.
    const own: WakeListener = {
      wake: (wake) => listener.wake(wake),
      namespaceWake: (wake) => listener.namespaceWake(wake),
      resubscribed: () => listener.resubscribed(),
      disconnected: () => listener.disconnected(),
    };
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  publishNamespace(wake: NamespaceWake): void {
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener.namespaceWake(wake);
    });
  }

  /** Delivered after the current code, like a message over a socket, and never inside the sender's step. */
  publish(wake: Wake): void {
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener.wake(wake);
    });
  }
}
