/** What an owner registered: which events go where, and how. */
export interface Rule {
  readonly id: string;
  readonly tenant: string;
  readonly url: URL;
  /** Null: every room of the tenant. */
  readonly room: string | null;
  /** Null: every channel of the room, and what is addressed to the room as a whole. */
  readonly channel: string | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly timeoutSeconds: number;
  /** Signs the requests; null: they are not signed. Never shown, logged or listed. */
  readonly key: Buffer | null;
  /** Identity of the owner. */
  readonly owner: string;
  /** What others may see of it: the JWT subject, else the client id. */
  readonly ownerName: string;
  readonly durable: boolean;
  readonly createdAt: string;
}
