/** Runs works of the same name one after the other, and those of other names beside them. */
export function createTurns(): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = tails.get(name);
    const { promise: tail, resolve: end } = Promise.withResolvers<void>();
    tails.set(name, tail);
    await before;
    try {
      return await work();
    } finally {
      if (tails.get(name) === tail) tails.delete(name);
      end();
    }
  };
}
