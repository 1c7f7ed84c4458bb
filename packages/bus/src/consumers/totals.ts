/** How an event was settled; `skipped`: it is not for this group. */
export type Settlement = 'handled' | 'rejected' | 'expired' | 'lost' | 'skipped';

export function noSettlements(): Record<Settlement, number> {
  return { handled: 0, rejected: 0, expired: 0, lost: 0, skipped: 0 };
}

/** Totals of all groups that this process drove since its start, including those of webhooks and mailboxes. */
export class GroupTotals {
  /** Number of deliveries, including redeliveries. */
  handOuts = 0;
  readonly settled: Record<Settlement, number> = noSettlements();
}
