import { SYSTEM_CLOCK } from '../../clients/typescript/src/clock.js';
import { Link } from '../../clients/typescript/src/link.js';
import { SessionTransport } from '../../clients/typescript/src/session-transport.js';
import {
  GetOrLockRequest,
  type GetOrLockResponse,
  PublishRequest,
  type PublishResponse,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import type { Asker } from './stampede.js';

const DEADLINE_MS = 60_000;

/** Many independent callers on one session: no call joins another, and none is retried. */
export class SessionAsker implements Asker {
  readonly #link: Link;
  readonly #session: SessionTransport;

  constructor(target: string) {
    const connectMs = DEADLINE_MS;
    this.#link = new Link({ target, token: '', tlsCa: '', connectMs });
    const options = { clock: SYSTEM_CLOCK, connectMs, holder: 'asker', leaseLost: () => {} };
    this.#session = new SessionTransport(this.#link, options);
  }

  getOrLock(request: Partial<GetOrLockRequest>): Promise<GetOrLockResponse> {
    return this.#session.getOrLock(GetOrLockRequest.fromPartial(request), { deadlineMs: DEADLINE_MS });
  }

  publishText(key: string, token: string, text: string, ttlMs = 60_000): Promise<PublishResponse> {
    const payload = { $case: 'value', value: Buffer.from(text) } as const;
    const request = { ...PublishRequest.fromPartial({ key, token, ttlMs }), payload };
    return this.#session.publish(request, { deadlineMs: DEADLINE_MS });
  }

  close(): void {
    this.#session.close();
    this.#link.close();
  }
}
