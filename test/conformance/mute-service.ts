import { Metadata, type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  type SessionReply,
  SessionRequest,
  SessionResponse,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { MessageProxy, type Passing } from './message-proxy.js';

type Stream = ServerDuplexStream<Buffer, Buffer>;
const GONE = { code: status.UNAVAILABLE, details: 'out of reach' };

/**
 * A replica that, while it is silenced, fails every call as if it could not be reached. Its sessions stay open, can be
 * opened again, and report changes.
 */
export class MuteService {
  #isMute = false;
  #proxy: MessageProxy | undefined;
  readonly #sessions = new Set<Stream>();

  static async before(target: string): Promise<MuteService> {
    const service = new MuteService();
    service.#proxy = await MessageProxy.before(target, (path, there) => {
      if (path.endsWith('/Session')) return service.#session(there);
      if (service.#isMute) return void end(there);
      return { up: (message) => message, down: (message) => message };
    });
    return service;
  }

  get target(): string {
    return this.#proxy?.target ?? '';
  }

  /** `silence` and `hear` change whether it answers. `break` ends its sessions. */
  act(verb: string | undefined): void {
    if (verb !== 'break') this.#isMute = verb === 'silence';
    else for (const there of this.#sessions) end(there);
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
  }

  #session(there: Stream): Passing {
    this.#sessions.add(there);
    const over = () => this.#sessions.delete(there);
    for (const end of ['close', 'cancelled', 'error']) there.on(end, over);
    // As in the service, the welcome comes first. The client's first calls may arrive with its hello.
    let early: SessionReply[] | undefined = [];
    const say = (replies: readonly SessionReply[]) => {
      if (replies.length > 0)
        there.write(bytesOf(SessionResponse, { welcome: undefined, replies: [...replies], events: [] }));
    };
    return {
      up: (message: Buffer) => {
        if (!this.#isMute) return message;
        const { calls, ...rest } = SessionRequest.decode(message);
        const replies = calls.map(({ id }) => refusal(id));
        if (early === undefined) say(replies);
        else early.push(...replies);
        const isEmpty = rest.hello === undefined && rest.cancelledIds.length === 0;
        return isEmpty ? undefined : bytesOf(SessionRequest, { ...rest, calls: [] });
      },
      down: (message: Buffer) => {
        const replies = early ?? [];
        early = undefined;
        setImmediate(say, replies);
        return message;
      },
    };
  }
}

function refusal(id: number): SessionReply {
  const value = { code: GONE.code, message: GONE.details };
  return { id, more: false, response: { $case: 'error', value } };
}

function end(there: Stream): void {
  there.emit('error', { ...GONE, metadata: new Metadata() });
}

function bytesOf<T>(of: { encode(message: T): { finish(): Uint8Array } }, message: T): Buffer {
  return Buffer.from(of.encode(message).finish());
}
