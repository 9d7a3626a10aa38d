/** The same result, after `act`: like `finally`, with one promise more instead of three. */
export function whenSettled<T>(reply: Promise<T>, act: () => void): Promise<T> {
  return reply.then(
    (value) => {
      act();
      return value;
    },
    (error) => {
      act();
      throw error;
    },
  );
}
