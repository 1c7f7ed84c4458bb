/** How an event came to be settled; `skipped`: it is not for this group. */
export type Settlement = 'handled' | 'rejected' | 'expired' | 'lost' | 'skipped';

/** Nothing settled yet. */
export function noSettlements(): Record<Settlement, number> {
  return { handled: 0, rejected: 0, expired: 0, lost: 0, skipped: 0 };
}

/** What all groups that this process drove have done since its start, those of webhooks and mailboxes among them. */
export class GroupTotals {
  /** Events handed to somebody, each time counted. */
  handOuts = 0;
  readonly settled: Record<Settlement, number> = noSettlements();
}
