/**
 * Cost beyond this many quanta is forgiven: it bounds how long a user waits, and the turns that pay a debt
 * off.
 */
const DEBT_QUANTA_MAX = 16;

/** Whose turn it is: serve up to `quantum` of this lane, then charge what it came to. */
export interface Turn<K> {
  readonly user: string;
  readonly lane: K;
  /** What is left of the user's turn; 1 at least. */
  readonly quantum: number;
}

interface LaneNode<K> {
  readonly lane: K;
  previous: LaneNode<K> | null;
  next: LaneNode<K> | null;
}

interface UserNode<K> {
  readonly user: string;
  readonly lanes: Map<K, LaneNode<K>>;
  first: LaneNode<K> | null;
  last: LaneNode<K> | null;
  /** What the user may still spend in its turn; negative: a debt that its next turns pay first. */
  deficit: number;
  next: UserNode<K> | null;
}

/**
 * Deficit round robin over users, each with a FIFO of its ready lanes. Users stand in a ring; a turn gives a
 * user one quantum and lasts until it is spent. Cost is charged after the fact, so a turn may be overdrawn:
 * the debt is paid by the turns that follow. What is left when a user has no lane ready is lost: nobody saves
 * up.
 *
 * A lane stays queued, behind its user's others, until `remove`. After `next` the caller charges what it
 * spent, and removes the lane where it has nothing more to do; doing neither ends the user's turn, so the
 * ring moves on always. A user without lanes leaves the ring when its turn comes and its debt is paid: idle
 * users cost nothing.
 *
 * Every operation is O(1), amortised over the operations that put a user in the ring or in debt. With all
 * users backlogged and no cost above 16 quanta, service of any two differs by at most a quantum and the
 * largest cost.
 */
export class FairQueue<K> {
  /** Ready lanes. */
  size = 0;
  readonly #quantumMax: number;
  #quantum: number;
  readonly #users = new Map<string, UserNode<K>>();
  #head: UserNode<K> | null = null;
  #tail: UserNode<K> | null = null;
  /** The head's turn has begun: its quantum is in its deficit. */
  #isTurn = false;
  /** The head was offered a lane, and the caller has neither charged nor removed. */
  #isOffered = false;

  /** `quantum`: what a user may spend in a turn at most, in the unit of `charge` (deliveries, say); 1 at least. */
  constructor(quantum: number) {
    if (!(quantum >= 1)) throw new Error(`a quantum is at least 1, not ${quantum}`);
    this.#quantumMax = quantum;
    this.#quantum = quantum;
  }

  /** Users with ready lanes, or in debt. */
  get userCount(): number {
    return this.#users.size;
  }

  /** What the turns to come are worth: no more than was given at first, and 1 at least. */
  set quantum(value: number) {
    this.#quantum = Math.max(1, Math.min(this.#quantumMax, Math.floor(value)));
  }

  /** Queues a lane behind its user's others. Nothing happens where it is queued already. */
  add(userId: string, lane: K): void {
    let user = this.#users.get(userId);
    if (user === undefined) {
      user = { user: userId, lanes: new Map(), first: null, last: null, deficit: 0, next: null };
      this.#users.set(userId, user);
      this.#enqueue(user);
    }
    if (user.lanes.has(lane)) return;
    const node: LaneNode<K> = { lane, previous: null, next: null };
    user.lanes.set(lane, node);
    append(user, node);
    this.size += 1;
  }

  /** Takes a lane out. Nothing happens where it is not queued. */
  remove(userId: string, lane: K): void {
    const user = this.#users.get(userId);
    const node = user?.lanes.get(lane);
    if (user === undefined || node === undefined) return;
    user.lanes.delete(lane);
    unlink(user, node);
    this.size -= 1;
    if (user === this.#head) this.#isOffered = false;
  }

  /** Whose turn it is, or null when no lane is ready. Moves the lane behind its user's others. */
  next(): Turn<K> | null {
    if (this.#head !== null && this.#isOffered) this.#endTurn(this.#head);
    while (this.#head !== null) {
      const user = this.#head;
      if (!this.#isTurn) {
        user.deficit += this.#quantum;
        this.#isTurn = true;
      }
      const node = user.first;
      if (node === null || user.deficit < 1) {
        this.#endTurn(user);
        continue;
      }
      unlink(user, node);
      append(user, node);
      this.#isOffered = true;
      return { user: user.user, lane: node.lane, quantum: Math.floor(user.deficit) };
    }
    return null;
  }

  /**
   * Books what serving a user came to. A user that is not in the ring competes with nobody, and owes nothing.
   */
  charge(userId: string, cost: number): void {
    const user = this.#users.get(userId);
    if (user === undefined || !(cost > 0)) return;
    user.deficit = Math.max(user.deficit - cost, -DEBT_QUANTA_MAX * this.#quantumMax);
    if (user === this.#head) this.#isOffered = false;
  }

  /** The head goes to the tail, or, with no lanes and no debt, away. */
  #endTurn(user: UserNode<K>): void {
    this.#isTurn = false;
    this.#isOffered = false;
    this.#head = user.next;
    if (this.#head === null) this.#tail = null;
    user.next = null;
    if (user.first === null && user.deficit >= 0) {
      this.#users.delete(user.user);
      return;
    }
    // A fraction of a unit carries over; more than that was forfeited.
    if (user.deficit >= 1) user.deficit = 0;
    this.#enqueue(user);
  }

  #enqueue(user: UserNode<K>): void {
    if (this.#tail === null) this.#head = user;
    else this.#tail.next = user;
    this.#tail = user;
  }
}

function append<K>(user: UserNode<K>, node: LaneNode<K>): void {
  node.previous = user.last;
  node.next = null;
  if (user.last === null) user.first = node;
  else user.last.next = node;
  user.last = node;
}

function unlink<K>(user: UserNode<K>, node: LaneNode<K>): void {
  if (node.previous === null) user.first = node.next;
  else node.previous.next = node.next;
  if (node.next === null) user.last = node.previous;
  else node.next.previous = node.previous;
}
