import type {
  DeleteOutcome,
  HistoryQuery,
  KeyChange,
  KeySpace,
  KeyValueEntry,
  SetOptions,
  SetOutcome,
  StoredEvent,
  StreamUsage,
  TenantSpace,
} from '../engine.ts';

/** A row of `streams`. Ids are assigned by the main thread in ascending order and never reused. */
export interface StreamRow {
  readonly id: number;
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly epoch: string;
  readonly sequence: number;
  /** The id of the event with that sequence; null if there is none. */
  readonly lastId: string | null;
  /** When the stream is forgotten, in milliseconds by the engine's clock. */
  readonly until: number;
  readonly size: number;
  readonly ttlMs: number;
  /** Null: no byte limit. */
  readonly maxBytes: number | null;
  /** 1: the last event is always kept; else 0. */
  readonly keepLast: 0 | 1;
}

/** Events to append, by column: passing five arrays between threads costs a fraction of many objects. */
export interface EventColumns {
  readonly streams: number[];
  readonly sequences: number[];
  readonly times: number[];
  readonly froms: string[];
  readonly texts: string[];
}

export type KeyOperation =
  | {
      readonly kind: 'set';
      readonly at: KeySpace;
      readonly key: string;
      readonly value: string;
      readonly options: SetOptions;
    }
  | { readonly kind: 'delete'; readonly at: KeySpace; readonly key: string; readonly ifVersion: number | undefined };

export interface KeyResult {
  readonly outcome: SetOutcome | DeleteOutcome;
  /** Key changes in order; a rejected operation reports expired keys at most. */
  readonly changes: readonly KeyChange[];
}

/** The contents of one transaction. */
export interface Batch {
  readonly now: number;
  /** Streams that are forgotten; handled before `streams`, since another one may have their address by then. */
  readonly drops: readonly number[];
  /** Streams that are new or have changed. */
  readonly streams: readonly StreamRow[];
  readonly events: EventColumns;
  readonly ids: readonly IdRecord[];
  readonly operations: readonly KeyOperation[];
}

/** Deduplicated ids until `until`: JSON of `[scope, identity, id, sequence, until][]`. */
export interface IdRecord {
  readonly until: number;
  readonly entries: string;
}

export type IdEntry = [scope: number, identity: string, id: string, sequence: number, until: number];

export interface Opened {
  readonly streams: StreamRow[];
  /** The id for the next new stream. */
  readonly nextStream: number;
  /** The latest time at which something was stored, in milliseconds since 1970; 0 in a new database. */
  readonly latest: number;
}

/** The main thread's calls to the worker that owns the database. Answered in the order called. */
export interface Calls {
  /** The contents of the database, after it was opened or created. */
  open: { ask: Record<string, never>; answer: Opened };
  /** Remembered ids that expire after `now`, a page at a time. */
  ids: { ask: { readonly after: number; readonly now: number }; answer: { entries: string[]; next: number | null } };
  commit: { ask: Batch; answer: KeyResult[] };
  /**
   * Checks whether writing works again. Returns the state of the given streams in the database and the ids written
   * last, covering at least one transaction: a transaction whose answer was lost may have been committed.
   */
  probe: {
    ask: { readonly streams: readonly number[] };
    answer: {
      standing: { readonly id: number; readonly sequence: number; readonly lastId: string | null }[];
      lastIds: string[];
    };
  };
  /** A small step of deleting what is no longer kept; returns the keys that expired. */
  sweep: { ask: { readonly now: number }; answer: KeyChange[] };
  state: {
    ask: { readonly stream: number; readonly now: number };
    answer: { sequence: number; oldest: number } | null;
  };
  /** How much each stream keeps, in order; null for one that was never stored. */
  usage: { ask: { readonly streams: readonly number[]; readonly now: number }; answer: (StreamUsage | null)[] };
  history: {
    ask: { readonly stream: number; readonly now: number; readonly query: HistoryQuery };
    answer: StoredEvent[];
  };
  get: { ask: { readonly at: KeySpace; readonly key: string; readonly now: number }; answer: KeyValueEntry | null };
  list: {
    ask: {
      readonly at: KeySpace;
      readonly prefix: string;
      readonly after: string | undefined;
      readonly limit: number;
      readonly owners: boolean;
      readonly now: number;
    };
    answer: KeyValueEntry[];
  };
  spaces: { ask: { readonly now: number }; answer: TenantSpace[] };
  tenants: { ask: { readonly space: string; readonly now: number }; answer: string[] };
  stats: { ask: Record<string, never>; answer: { messages: number; bytes: number } };
  /** Closes the database. */
  close: { ask: Record<string, never>; answer: null };
}

export type CallName = keyof Calls;

export type Request = {
  [Name in CallName]: { readonly call: number; readonly name: Name; readonly ask: Calls[Name]['ask'] };
}[CallName];

/** `fault` is one sentence that an operator can act on; `lasting`: retrying does not help. */
export type Reply = { readonly call: number } & (
  | { readonly answer: unknown }
  | { readonly fault: string; readonly lasting: boolean }
);
