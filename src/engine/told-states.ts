import type { WaitsFor } from "../domain/operational-event.ts";
import type { Store } from "../store/port.ts";

export type StateName = "disk" | WaitsFor;

/** Whether it is so, since when, and whether an event that says so is stored. */
export interface ToldState {
  readonly isOn: boolean;
  readonly since: number;
  readonly isTold: boolean;
}

type States = Readonly<Record<StateName, ToldState>>;

/** Setting: what was told of states, as JSON. */
const TOLD = "told_states";
const OFF: ToldState = { isOn: false, since: 0, isTold: true };

/**
 * States that are told when they begin and when they are over, each time once:
 *
 *   told --another value is seen: stored--> untold --its event is stored--> told
 *
 * They outlive a restart. `since` is stored before anything is told, and names the event: what is told a second time
 * after a crash is the same event.
 */
export class ToldStates {
  readonly #store: Store;
  #states: States = { disk: OFF, slots: OFF, receivers: OFF };

  constructor(store: Store) {
    this.#store = store;
  }

  async load(): Promise<void> {
    const text = await this.#store.getSetting(TOLD);
    if (text !== null) this.#states = { ...this.#states, ...(JSON.parse(text) as States) };
  }

  isOn(name: StateName): boolean {
    return this.#states[name].isOn;
  }

  /** What is to be told now; null: it has been. */
  async see(name: StateName, isOn: boolean, now: number): Promise<ToldState | null> {
    const state = this.#states[name];
    if (state.isOn !== isOn) await this.#put(name, { isOn, since: now, isTold: false });
    return this.#states[name].isTold ? null : this.#states[name];
  }

  async told(name: StateName, { since }: ToldState): Promise<void> {
    const state = this.#states[name];
    if (state.since === since && !state.isTold) await this.#put(name, { ...state, isTold: true });
  }

  /** In memory once it is stored: a store that refuses is asked again. */
  async #put(name: StateName, state: ToldState): Promise<void> {
    await this.#store.putSetting(TOLD, JSON.stringify({ ...this.#states, [name]: state }));
    this.#states = { ...this.#states, [name]: state };
  }
}
