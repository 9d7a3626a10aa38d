/** A namespace's clock of invalidations. It counts from 1. A lost one starts again with another id. */
export interface TagClock {
  readonly id: string;
  readonly at: number;
}

export function encodeTagClock({ id, at }: TagClock): string {
  return `${id}.${at}`;
}

export function decodeTagClock(text: string): TagClock {
  const dot = text.lastIndexOf('.');
  return { id: text.slice(0, dot), at: Number(text.slice(dot + 1)) };
}
