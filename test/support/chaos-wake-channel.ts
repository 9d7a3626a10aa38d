import type { NamespaceWake, Wake, WakeListener } from '../../src/coordination/ports/wake-channel.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';

/** The chaos twin of a wake channel. It can lose wakes silently, hold them, or report that it is lost. */
export class ChaosWakeChannel extends MemoryWakeChannel {
  silent = false;
  #held: (() => void)[] | undefined;
  readonly #heardBy: WakeListener[] = [];

  override listen(listener: WakeListener): () => void {
    this.#heardBy.push(listener);
    return super.listen(listener);
  }

  lose(): void {
    this.live = false;
    for (const listener of this.#heardBy) listener.disconnected();
  }

  comeBack(): void {
    this.live = true;
    for (const listener of this.#heardBy) listener.resubscribed();
  }

  /** Holds all wakes until `release`, which delivers them in order. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const publish of held) publish();
  }

  override publish(wake: Wake): void {
    this.#later(() => super.publish(wake));
  }

  override publishNamespace(wake: NamespaceWake): void {
    this.#later(() => super.publishNamespace(wake));
  }

  #later(publish: () => void): void {
    if (this.silent) return;
    if (this.#held === undefined) publish();
    else this.#held.push(publish);
  }
}
