/** State that changes by actions, and who wants to know. */
export interface Store<State, Action> {
  state(): State;
  dispatch(action: Action): void;
  subscribe(listener: () => void): () => void;
  version(): number;
}

export function createStore<State, Action>(
  reducer: (state: State, action: Action) => State,
  first: State,
): Store<State, Action> {
  const listeners = new Set<() => void>();
  let state = first;
  let version = 0;
  return {
    state: () => state,
    dispatch(action) {
      const next = reducer(state, action);
      if (next === state) return;
      state = next;
      version += 1;
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    version: () => version,
  };
}
