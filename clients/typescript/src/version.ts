/** The version of this package. Each call sends it in the user agent. */
export const VERSION = '0.1.0';
