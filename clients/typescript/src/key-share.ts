// Which of several places has a key: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase
// hit rates", 1998). All processes compute the same, so that a key has one replica, and one group of lock nodes, in the
// whole fleet. The service and its TypeScript client are two packages and each have this file. A test compares the two.

/** FNV-1a of 32 bits, over the text's UTF-8. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit > 0x7f) return hashOfBytes(Buffer.from(text));
    hash = Math.imul(hash ^ unit, 0x01000193);
  }
  return hash >>> 0;
}

function hashOfBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The place with the highest rank has the key. `seed` is the hash of its address, such as `10.0.0.1:50051`. */
export function rankOf(keyHash: number, seed: number): number {
  // The last step of MurmurHash3, which makes every bit count.
  let mixed = keyHash ^ seed;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
