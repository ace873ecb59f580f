/** What the API counts for the metrics. Plain numbers: whoever collects reads them. */
export interface ApiCounters {
  /** Events answered with 202 and stored, duplicates aside. */
  accepted: number;
  duplicates: number;
  /** Events that no webhook matched: answered with 202, and not stored. */
  unmatched: number;
  /** Events refused, by problem code. */
  readonly refused: Record<string, number>;
  /** Events whose webhooks were known, and look-ups of those that were not. */
  registryHits: number;
  registryMisses: number;
  streamClients: number;
  streamSkipped: number;
}

export function createApiCounters(): ApiCounters {
  return {
    accepted: 0,
    duplicates: 0,
    unmatched: 0,
    refused: {},
    registryHits: 0,
    registryMisses: 0,
    streamClients: 0,
    streamSkipped: 0,
  };
}
