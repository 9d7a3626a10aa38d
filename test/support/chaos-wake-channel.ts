import type { NamespaceWake, Wake } from '../../src/coordination/ports/wake-channel.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';

/** The chaos twin of a wake channel: it loses every wake, and says nothing of it. */
export class ChaosWakeChannel extends MemoryWakeChannel {
  silent = false;

  override publish(wake: Wake): void {
    if (!this.silent) super.publish(wake);
  }

  override publishNamespace(wake: NamespaceWake): void {
    if (!this.silent) super.publishNamespace(wake);
  }
}
