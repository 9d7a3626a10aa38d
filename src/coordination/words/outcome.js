/** What the domain answers. The wire's enums and messages mirror these, and `grpc/encode.ts` maps them. */
export {};
