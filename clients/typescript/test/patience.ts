/** On a busy machine a connection may take seconds. Then a client would rebuild without the service. */
export const CONNECT_MS = 20_000;
