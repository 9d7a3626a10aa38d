import type { NamespaceWake, Wake, WakeListener } from '../../src/coordination/ports/wake-channel.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';

/** The chaos twin of a wake channel: it loses every wake and says nothing of it, or is lost and says so. */
export class ChaosWakeChannel extends MemoryWakeChannel {
  silent = false;
  readonly #heardBy: WakeListener[] = [];

  override listen(listener: WakeListener): () => void {
    this.#heardBy.push(listener);
    return super.listen(listener);
  }

  lose(): void {
    this.live = false;
    for (const listener of this.#heardBy) listener.disconnected();
  }

  override publish(wake: Wake): void {
    if (!this.silent) super.publish(wake);
  }

  override publishNamespace(wake: NamespaceWake): void {
    if (!this.silent) super.publishNamespace(wake);
  }
}
