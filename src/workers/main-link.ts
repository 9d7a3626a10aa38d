import type { Socket } from 'node:net';
import type { Asked, ToMain, ToWorker } from './messages.js';

/** The channel to the main process, as Node gives it to a forked child. */
export interface Channel {
  readonly connected: boolean;
  send?(message: ToMain, done: (error: Error | null) => void): void;
  on(event: 'message', listener: (message: ToWorker, socket?: Socket) => void): unknown;
  on(event: 'disconnect', listener: () => void): unknown;
}

export interface MainLinkParts {
  reload(): void;
  stop(): void;
  /** The main process has ended, for any reason. */
  orphaned(): void;
}

/** A worker's link to its main process. */
export class MainLink {
  #answers: ((what: Asked) => unknown) | undefined;
  #take: ((socket: Socket, address: string) => void) | undefined;

  constructor(
    private readonly channel: Channel,
    private readonly parts: MainLinkParts,
  ) {
    channel.on('message', (message, socket) => this.#receive(message, socket));
    channel.on('disconnect', () => parts.orphaned());
    // It may have ended while this process loaded its modules, and then there is no event.
    if (!channel.connected) parts.orphaned();
  }

  /** From now on, `answers` answers questions of the main process. */
  answerBy(answers: (what: Asked) => unknown): void {
    this.#answers = answers;
  }

  /** From now on, `take` gets each connection that the main process passes on. */
  passTo(take: (socket: Socket, address: string) => void): void {
    this.#take = take;
  }

  serving(): void {
    this.#send({ kind: 'serving' });
  }

  /** Accepts no more connections. Those on their way are closed. */
  enough(): void {
    this.#take = undefined;
    this.#send({ kind: 'enough' });
  }

  #receive(message: ToWorker, socket: Socket | undefined): void {
    switch (message.kind) {
      case 'connection':
        this.#comes(socket, message.address);
        break;
      case 'ask':
        void this.#answer(message.id, message.what);
        break;
      case 'ping':
        this.#send({ kind: 'pong' });
        break;
      case 'reload':
        this.parts.reload();
        break;
      case 'stop':
        this.parts.stop();
    }
  }

  /** In the event itself: bytes that came before HTTP/2 reads the socket would be lost. */
  #comes(socket: Socket | undefined, address: string): void {
    // The client has left meanwhile.
    if (socket === undefined) {
      this.#send({ kind: 'closed' });
      return;
    }
    socket.once('close', () => this.#send({ kind: 'closed' }));
    if (this.#take === undefined) {
      socket.destroy();
      return;
    }
    // As if this process had accepted it: HTTP/2 ends both directions itself.
    socket.allowHalfOpen = true;
    this.#take(socket, address);
  }

  async #answer(id: number, what: Asked): Promise<void> {
    try {
      this.#send({ kind: 'answer', id, answer: await this.#answers?.(what) });
    } catch {
      // The main process continues without this part, and reports that.
      this.#send({ kind: 'answer', id });
    }
  }

  #send(message: ToMain): void {
    // An error means that the channel has closed, and `disconnect` says so.
    if (this.channel.connected) this.channel.send?.(message, () => {});
  }
}
