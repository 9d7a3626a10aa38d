/** Longer paths are rare, and most private keys are longer. */
const SHOWN_PATH_MAX = 255;
/** PEM, also in base64, or only what stands within its lines. */
const PEM = /-----BEGIN|^\s*LS0tLS1CRUdJTi|^\s*M[A-Za-z0-9+/_-]{60,}={0,2}\s*$/;

/** Whether this is perhaps a file's content, set where its path belongs. It may be secret then. */
export function maybeContent(path: string): boolean {
  return path.length > SHOWN_PATH_MAX || /[\r\n]/.test(path) || PEM.test(path);
}

/** Whether an address may contain a password. Dibs takes none there. */
export function maybePassword(address: string): boolean {
  return address.includes('@') && !/^unix(?:-abstract)?:/.test(address);
}
