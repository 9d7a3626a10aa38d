/** The same symbol in each copy of this package that a process has loaded. */
const NAME = Symbol.for('@dibs/client/error');

/**
 * Lets `instanceof` recognise an error of this class that comes from another copy of the package. A process has two
 * copies if it loads the package both by `import` and by `require`, or in two versions.
 */
export function knownByName(
  // biome-ignore lint/suspicious/noExplicitAny: of any constructor; it is not called.
  errorClass: abstract new (...args: any[]) => Error,
  name: string,
): void {
  Object.defineProperty(errorClass.prototype, NAME, { value: name });
  Object.defineProperty(errorClass, Symbol.hasInstance, {
    // A class that a user derives inherits this, and stands for itself only.
    value(this: unknown, error: unknown): boolean {
      if (Function.prototype[Symbol.hasInstance].call(this as never, error)) return true;
      return (
        this === errorClass &&
        typeof error === 'object' &&
        error !== null &&
        Reflect.get(error, NAME) === name
      );
    },
  });
}
