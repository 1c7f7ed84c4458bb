import type { Position } from '@arqonbus/protocol';
import type { KeySpace, KeyValueStore, SetOutcome } from '../../engine/engine.ts';
import { type Principal, type PrincipalDocument, principalDocument, readPrincipal } from '../../principal.ts';
import { type Quota, quotaOf } from '../quota.ts';
import { LIFECYCLE_EVENTS, type LifecycleEvent } from './lifecycle.ts';

export type RuleEvent = 'message' | LifecycleEvent;
export const RULE_EVENTS: readonly RuleEvent[] = ['message', ...LIFECYCLE_EVENTS];

/** For rules stored before other events could be chosen. */
const MESSAGES: readonly RuleEvent[] = ['message'];

/** A registered rule: which events are posted where, and how. */
export interface Rule {
  readonly id: string;
  readonly tenant: string;
  readonly url: URL;
  /** Null: every room of the tenant. */
  readonly room: string | null;
  /** Null: every channel of the room, and room-wide events. */
  readonly channel: string | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly timeoutSeconds: number;
  /** Signs the requests; null: they are not signed. Never shown, logged or listed. */
  readonly key: Buffer | null;
  /** Identity of the owner. */
  readonly owner: string;
  /** The name that others see: the JWT subject, else the client id. */
  readonly ownerName: string;
  readonly durable: boolean;
  readonly createdAt: string;
  /** What it reports: messages, and lifecycle events. */
  readonly on: readonly RuleEvent[];
}

const SPACE = 'webhook';
const PAGE = 500;

/** A durable rule with its owner's grants. */
export interface StoredRule {
  readonly rule: Rule;
  readonly principal: Principal;
  /** Start positions, by stream. */
  readonly begin: Readonly<Record<string, Position>>;
}

/** The stored value of a rule. It contains the signing key: readers of the storage backend can sign. */
interface RuleDocument {
  readonly url: string;
  readonly room: string | null;
  readonly channel: string | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly timeout_seconds: number;
  readonly signing_key: string | null;
  readonly owner: string;
  readonly owner_name: string;
  readonly principal: PrincipalDocument;
  readonly begin: Readonly<Record<string, Position>>;
  readonly created_at: string;
  readonly on?: readonly RuleEvent[];
}

/** Durable rules in the key-value store: kept over restarts on a durable engine, and seen by all nodes of a cluster. */
export class RuleStore {
  private readonly store: KeyValueStore;
  private readonly onFault: (error: unknown) => void;

  constructor(store: KeyValueStore, onFault: (error: unknown) => void) {
    this.store = store;
    this.onFault = onFault;
  }

  /** @param quota for a new rule: refused (`full`) at that many durable ones, on all nodes together */
  async save({ rule, principal, begin }: StoredRule, quota?: Quota): Promise<SetOutcome> {
    const text = JSON.stringify(documentOf(rule, principal, begin));
    const options =
      quota === undefined
        ? { quota: quotaOf(rule.owner) }
        : { ifVersion: 0, quota: quotaOf(rule.owner, { ownerKeys: quota.perSubject, tenantKeys: quota.perTenant }) };
    return this.store.set(spaceOf(rule.tenant), rule.id, text, options);
  }

  async remove(rule: Rule): Promise<void> {
    await this.store.delete(spaceOf(rule.tenant), rule.id);
  }

  async load(): Promise<StoredRule[]> {
    const found: StoredRule[] = [];
    for (const tenant of await this.store.tenants(SPACE)) {
      for (let after: string | undefined; ; ) {
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
        const entries = await this.store.list(spaceOf(tenant), query);
        for (const { key, value } of entries) found.push(...this.read(tenant, key, value));
        if (entries.length < PAGE) break;
        after = entries[entries.length - 1]?.key;
      }
    }
    return found.sort((one, other) => (one.rule.createdAt < other.rule.createdAt ? -1 : 1));
  }

  /** Reports changes by this and other nodes; returns a function that stops it. */
  watch(onSet: (stored: StoredRule) => void, onGone: (tenant: string, id: string) => void): () => void {
    return this.store.watch(SPACE, ({ at, key, value }) => {
      if (value === null) onGone(at.tenant, key);
      else for (const stored of this.read(at.tenant, key, value)) onSet(stored);
    });
  }

  /** An unreadable document is reported as a fault; the other rules still start. */
  private read(tenant: string, id: string, value: string): StoredRule[] {
    try {
      return [parse(tenant, id, JSON.parse(value) as RuleDocument)];
    } catch (error) {
      this.onFault(error);
      return [];
    }
  }
}

function spaceOf(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}

function documentOf(rule: Rule, principal: Principal, begin: StoredRule['begin']): RuleDocument {
  return {
    url: rule.url.href,
    room: rule.room,
    channel: rule.channel,
    headers: rule.headers,
    timeout_seconds: rule.timeoutSeconds,
    signing_key: rule.key?.toString('base64') ?? null,
    owner: rule.owner,
    owner_name: rule.ownerName,
    principal: principalDocument(principal),
    begin,
    created_at: rule.createdAt,
    on: rule.on,
  };
}

function parse(tenant: string, id: string, stored: RuleDocument): StoredRule {
  const { room, channel, headers } = stored;
  const rule: Rule = {
    id,
    tenant,
    url: new URL(stored.url),
    room,
    channel,
    headers,
    timeoutSeconds: stored.timeout_seconds,
    key: stored.signing_key === null ? null : Buffer.from(stored.signing_key, 'base64'),
    owner: stored.owner,
    ownerName: stored.owner_name,
    durable: true,
    createdAt: stored.created_at,
    on: stored.on ?? MESSAGES,
  };
  return { rule, principal: readPrincipal(stored.principal, tenant), begin: stored.begin };
}
