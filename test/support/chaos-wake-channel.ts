import type { NamespaceWake, Wake, WakeListener } from '../../src/coordination/ports/wake-channel.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';

/** The chaos twin of a wake channel: it loses every wake and says nothing of it, holds wakes up, or is lost and says so. */
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

  /** From now on wakes are on their way until `release`, which delivers them in their order. */
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
