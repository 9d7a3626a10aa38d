import type { Server, Socket } from 'node:net';

/** How long a refused connection is kept. */
const HELD_OFF_MS = 1_000;

/**
 * Refused connections. They are closed later, because a client that is refused at once is back at once. Beyond `max`,
 * each with its descriptor, they are closed at once.
 */
export class HeldOff {
  /** From the oldest to the newest, each with the function that ends its wait. */
  readonly #sockets = new Map<Socket, () => void>();

  constructor(private readonly max: number) {}

  get size(): number {
    return this.#sockets.size;
  }

  hold(socket: Socket): void {
    if (this.#sockets.size >= this.max) {
      socket.destroy();
      return;
    }
    socket.pause();
    const timer = setTimeout(() => socket.destroy(), HELD_OFF_MS).unref();
    const ignore = () => {}; // Its close says it all.
    const end = () => {
      clearTimeout(timer);
      socket.off('error', ignore);
      socket.off('close', end);
      this.#sockets.delete(socket);
    };
    socket.on('error', ignore);
    socket.once('close', end);
    this.#sockets.set(socket, end);
  }

  /** Returns those that may come now, the oldest first. They are still paused. */
  release(mayCome: (socket: Socket) => boolean): Socket[] {
    const released = [...this.#sockets.keys()].filter((socket) => !socket.destroyed && mayCome(socket));
    for (const socket of released) this.#sockets.get(socket)?.();
    return released;
  }
}

/** The listeners of a server's event. From now on, the caller calls them. What is refused must not reach them. */
export function takeListeners<Listener>(server: Server, event: string): readonly Listener[] {
  const listeners = server.listeners(event) as Listener[];
  server.removeAllListeners(event);
  return listeners;
}
