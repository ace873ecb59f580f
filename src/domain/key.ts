import type { KeyId } from "./ids.ts";

export const SCOPES = ["publish", "read", "manage"] as const;
export type Scope = (typeof SCOPES)[number];

/** An API key as it is stored: never the key itself. `userId` null: an admin key, which has every scope. */
export interface ApiKey {
  readonly id: KeyId;
  readonly userId: string | null;
  readonly scopes: readonly Scope[];
  readonly name: string | null;
  /** SHA-256 of the key's text. */
  readonly hash: Uint8Array;
  readonly createdAt: number;
  readonly expiresAt: number | null;
}
