import { connect, type Socket } from 'node:net';

/** The meta commands of memcached's text protocol: protocol.txt of its sources. */
export interface MetaReply {
  /** `VA` comes with a value. `HD`: done. `EN`: a miss. `NS`: not stored. `EX`: it exists with another CAS. */
  readonly code: 'VA' | 'HD' | 'EN' | 'NS' | 'EX';
  /** Such as `W`, this caller is to rebuild, or `t60`, it expires in a minute. */
  readonly flags: readonly string[];
  readonly value?: Buffer | undefined;
}

interface Waiting {
  resolve(reply: MetaReply): void;
  reject(error: Error): void;
}

const CODES: ReadonlySet<string> = new Set(['VA', 'HD', 'EN', 'NS', 'EX'] satisfies MetaReply['code'][]);
const END = '\r\n';
const KEY = /^[\x21-\x7e]{1,250}$/;
const NOTHING = Buffer.alloc(0);

/** One connection to a memcached. All commands of one turn of the event loop leave in one write. */
export class MetaClient {
  readonly #socket: Socket;
  /** In the order of their commands, in which the server also replies. */
  readonly #waiting: Waiting[] = [];
  /** As `latin1`, so that each byte of a value is one character. */
  #outgoing = '';
  #unread: Buffer = NOTHING;
  #closed: Error | undefined;

  constructor(port: number, host = '127.0.0.1') {
    this.#socket = connect({ port, host, noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('memcached has closed the connection')));
  }

  /** `mg`, with flags such as `v` for the value and `N30` to have one caller of a miss rebuild within 30 s. */
  get(key: string, ...flags: string[]): Promise<MetaReply> {
    return this.#ask(`mg ${checked(key)} ${flags.join(' ')}${END}`);
  }

  /** `ms`. */
  set(key: string, value: Buffer, ttlS: number): Promise<MetaReply> {
    const command = `ms ${checked(key)} ${value.byteLength} T${ttlS}${END}`;
    return this.#ask(`${command}${value.toString('latin1')}${END}`);
  }

  close(): void {
    this.#fail(new Error('this client is closed'));
  }

  #ask(command: string): Promise<MetaReply> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    // After all callers that this turn's replies have woken.
    if (this.#outgoing === '') setImmediate(() => this.#write());
    this.#outgoing += command;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  #write(): void {
    this.#socket.write(this.#outgoing, 'latin1');
    this.#outgoing = '';
  }

  #read(chunk: Buffer): void {
    const bytes = this.#unread.byteLength === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    let at = 0;
    for (;;) {
      const lineEnd = bytes.indexOf(END, at);
      if (lineEnd === -1) break;
      const line = bytes.toString('latin1', at, lineEnd);
      const [code = '', ...flags] = line.split(' ');
      let next = lineEnd + END.length;
      let value: Buffer | undefined;
      if (code === 'VA') {
        const valueEnd = next + Number(flags.shift());
        if (bytes.byteLength < valueEnd + END.length) break;
        value = bytes.subarray(next, valueEnd);
        next = valueEnd + END.length;
      }
      const waiting = this.#waiting.shift();
      if (isCode(code)) waiting?.resolve({ code, flags, value });
      else waiting?.reject(new Error(`memcached answered ${line}`));
      at = next;
    }
    this.#unread = at < bytes.byteLength ? bytes.subarray(at) : NOTHING;
  }

  #fail(error: Error): void {
    this.#closed ??= error;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(this.#closed);
  }
}

function isCode(code: string): code is MetaReply['code'] {
  return CODES.has(code);
}

function checked(key: string): string {
  if (!KEY.test(key)) {
    throw new RangeError(
      `key must have 1 to 250 printable ASCII characters and no space, got ${JSON.stringify(key)}`,
    );
  }
  return key;
}
