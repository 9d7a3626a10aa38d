import { describe, expect, it } from 'vitest';
import { ByteWindow } from '../../../src/redis/byte-window.js';

/** A window, what was sent through it in order, and what is under way. */
class WindowTrial {
  readonly window = new ByteWindow(100);
  readonly sent: string[] = [];
  readonly #underWay = new Map<string, { resolve(): void; reject(error: Error): void }>();
  readonly errors: unknown[] = [];

  /** The first letter of `name` is its namespace. */
  send(name: string, bytes: number): void {
    const sent = () => {
      this.sent.push(name);
      return new Promise<void>((resolve, reject) => this.#underWay.set(name, { resolve, reject }));
    };
    this.window.run(name.charAt(0), () => bytes, sent).catch((error) => this.errors.push(error));
  }

  /** The reply to a call arrives, and the calls that fit now are sent. */
  async reply(name: string, error?: Error): Promise<void> {
    const call = this.#underWay.get(name);
    if (error === undefined) call?.resolve();
    else call?.reject(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a window of bytes', () => {
  it('sends at once what fits, and the rest in order as replies come', async () => {
    const trial = new WindowTrial();
    for (const at of [1, 2, 3, 4]) trial.send(`a${at}`, 50);
    expect(trial.sent).toEqual(['a1', 'a2']);
    await trial.reply('a2');
    expect(trial.sent).toEqual(['a1', 'a2', 'a3']);
    // Later calls do not overtake, even if they fit.
    trial.send('a5', 0);
    expect(trial.sent).toHaveLength(3);
    await trial.reply('a1');
    expect(trial.sent).toEqual(['a1', 'a2', 'a3', 'a4', 'a5']);
  });

  it('holds exactly its number of bytes', () => {
    const trial = new WindowTrial();
    trial.send('a1', 99);
    trial.send('a2', 1);
    trial.send('a3', 1);
    expect(trial.sent).toEqual(['a1', 'a2']);
  });

  it('lets a call that is larger than the window pass alone', async () => {
    const trial = new WindowTrial();
    trial.send('a1', 500);
    trial.send('a2', 500);
    expect(trial.sent).toEqual(['a1']);
    await trial.reply('a1');
    expect(trial.sent).toEqual(['a1', 'a2']);
  });

  it('lets one call of each namespace pass, and then the namespaces in turn', async () => {
    const trial = new WindowTrial();
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'c1']) trial.send(name, 60);
    expect(trial.sent).toEqual(['a1', 'b1', 'c1']);
    await trial.reply('c1');
    await trial.reply('a1');
    await trial.reply('b1');
    await trial.reply('a2');
    await trial.reply('b2');
    expect(trial.sent).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'b3']);
  });

  it('gives the room of a failed call to the next, and is empty in the end', async () => {
    const trial = new WindowTrial();
    for (let at = 1; at <= 3; at += 1) trial.send(`a${at}`, 100);
    await trial.reply('a1', new Error('no reply'));
    await trial.reply('a2');
    await trial.reply('a3');
    expect(trial.errors).toEqual([new Error('no reply')]);
    trial.send('b1', 100);
    trial.send('b2', 0);
    expect(trial.sent).toEqual(['a1', 'a2', 'a3', 'b1', 'b2']);
  });
});
