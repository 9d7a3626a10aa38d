/** Of this package; it goes with each call, in the user agent. */
export const VERSION = '0.1.0';
