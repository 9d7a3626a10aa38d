/** One change of a key, as every replica hears it. */
export interface Wake {
  readonly id: string;
  readonly kind: 'published' | 'released' | 'failed' | 'invalidated';
  /** The record's fence after the change. */
  readonly fence: number;
}

/** One change of a namespace: tags of it, or the whole, were invalidated, or a place in its budget is free. */
export interface NamespaceWake {
  readonly namespace: string;
  readonly kind: 'tags' | 'room';
}

export interface WakeListener {
  wake(wake: Wake): void;
  namespaceWake(wake: NamespaceWake): void;
  /** The channel is live again: anything may have been missed meanwhile. */
  resubscribed(): void;
  /** The channel is down. */
  lost(): void;
}

/** Tells replicas that something changed. It may lose messages; the waiters' poll covers for that. */
export interface WakeChannel {
  /** The subscription is confirmed and answered its last ping. */
  readonly live: boolean;
  /** Hears every wake from now on. The returned function ends it. */
  listen(listener: WakeListener): () => void;
}
