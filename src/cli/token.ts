import { Misuse, type Surroundings } from './command.js';

/** The option of every command that sends the token. */
export const TOKEN_OPTIONS = { 'allow-insecure-token': { type: 'boolean' } } as const;

export const TOKEN_HELP = `  --allow-insecure-token
                       sends DIBS_TOKEN unencrypted to another machine; otherwise that is an error`;

/** Where a token would go. */
export interface Way {
  /** As the user named it. */
  readonly to: string;
  /** It is encrypted, or stays on this machine. */
  readonly isPrivate: boolean;
  readonly isAllowed: boolean | undefined;
}

/**
 * The token of DIBS_TOKEN; empty for none. Throws {@link Misuse} if it must not be sent, or if a header cannot carry
 * it: the errors of gRPC and of fetch would show it.
 */
export function tokenFor({ DIBS_TOKEN: token = '' }: Surroundings['env'], way: Way): string {
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw new Misuse(
      'DIBS_TOKEN: has characters that a header cannot carry, such as a line break at its end',
    );
  }
  if (token === '' || way.isPrivate || way.isAllowed === true) return token;
  throw new Misuse(
    `DIBS_TOKEN: would travel unencrypted to ${way.to}: use TLS, or, if the network is protected, --allow-insecure-token`,
  );
}
