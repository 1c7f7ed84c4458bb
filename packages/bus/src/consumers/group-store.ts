import { BusError, MAIL_ROOM } from '@arqonbus/protocol';
import type { KeySpace, KeyValueStore } from '../engine/engine.ts';
import { type GroupRecord, groupKey, isInbox } from './group.ts';

const SPACE = 'group';
/** Groups of mailboxes. Each mailbox has one `inbox`, which counts towards no quota. */
export const MAIL_SPACE = 'group_mail';
/** The progress of the groups, written by their drivers. */
export const STATE_SPACE = 'group_state';
const SPACES = [SPACE, MAIL_SPACE] as const;
const PAGE = 500;

export interface GroupQuota {
  readonly maxGroups: number;
  readonly maxGroupsPerSubject: number;
}

/** The groups of all tenants in the key-value store: they survive a restart, and all nodes of a cluster see them. */
export class GroupStore {
  private readonly store: KeyValueStore;
  private readonly quota: GroupQuota;

  constructor(store: KeyValueStore, quota: GroupQuota) {
    this.store = store;
    this.quota = quota;
  }

  /** Reports every group that any node creates, changes or (null) deletes; returns a function that stops it. */
  watch(onChange: (tenant: string, key: string, record: GroupRecord | null) => void): () => void {
    const stops = SPACES.map((space) =>
      this.store.watch(space, ({ at, key, value }) =>
        onChange(at.tenant, key, value === null ? null : (JSON.parse(value) as GroupRecord)),
      ),
    );
    return () => {
      for (const stop of stops) stop();
    };
  }

  async load(onGroup: (tenant: string, record: GroupRecord) => void): Promise<void> {
    for (const space of SPACES) await this.loadSpace(space, onGroup);
  }

  private async loadSpace(space: string, onGroup: (tenant: string, record: GroupRecord) => void): Promise<void> {
    for (const tenant of await this.store.tenants(space)) {
      for (let after: string | undefined; ; ) {
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
        const entries = await this.store.list({ tenant, space, namespace: '' }, query);
        for (const { value } of entries) onGroup(tenant, JSON.parse(value) as GroupRecord);
        if (entries.length < PAGE) break;
        after = entries[entries.length - 1]?.key;
      }
    }
  }

  /** Stores a new group; returns the existing one when another caller was faster. Rejects with LIMIT_EXCEEDED. */
  async add(tenant: string, record: GroupRecord): Promise<GroupRecord> {
    const { maxGroups, maxGroupsPerSubject } = this.quota;
    const key = groupKey(record);
    const quota = {
      owner: record.owner,
      ownerKeys: maxGroupsPerSubject,
      ownerBytes: Number.MAX_SAFE_INTEGER,
      tenantKeys: maxGroups,
      tenantBytes: Number.MAX_SAFE_INTEGER,
    };
    const outcome = await this.store.set(spaceOf(tenant, key), key, JSON.stringify(record), {
      ifVersion: 0,
      ...(isInbox(record) ? {} : { quota }),
    });
    if (outcome.ok) return record;
    if (outcome.reason === 'full') throw this.tooMany(outcome.limit.startsWith('owner'));
    const entry = await this.store.get(spaceOf(tenant, key), key);
    if (entry === null) throw new BusError('CONFLICT', 'Somebody is deleting this group; try again.');
    return JSON.parse(entry.value) as GroupRecord;
  }

  /** Changes the record of a group; null when it is gone. */
  async amend(tenant: string, key: string, change: (record: GroupRecord) => GroupRecord): Promise<GroupRecord | null> {
    for (;;) {
      const entry = await this.store.get(spaceOf(tenant, key), key);
      if (entry === null) return null;
      const record = change(JSON.parse(entry.value) as GroupRecord);
      const value = JSON.stringify(record);
      const outcome = await this.store.set(spaceOf(tenant, key), key, value, { ifVersion: entry.version });
      if (outcome.ok) return record;
    }
  }

  async remove(tenant: string, key: string): Promise<void> {
    await this.store.delete(spaceOf(tenant, key), key);
  }

  /** Deletes the state that a driver kept of a group, and may have written after the deletion. */
  async forgetState(tenant: string, key: string, { group_id }: GroupRecord): Promise<void> {
    const at = { tenant, space: STATE_SPACE, namespace: '' };
    const entry = await this.store.get(at, key);
    if (entry?.value.startsWith(`{"group":"${group_id}"`) === true) await this.store.delete(at, key, entry.version);
  }

  private tooMany(ofSubject: boolean): BusError {
    const { maxGroups, maxGroupsPerSubject } = this.quota;
    const [who, limit, setting] = ofSubject
      ? ['You have', maxGroupsPerSubject, 'ARQONBUS_MAX_GROUPS_PER_SUBJECT']
      : ['The tenant has', maxGroups, 'ARQONBUS_MAX_GROUPS'];
    return new BusError(
      'LIMIT_EXCEEDED',
      `${who} ${limit} groups, which is the limit (${setting}); delete some first, group.list shows them.`,
      { limit, quota: ofSubject ? 'owner_keys' : 'tenant_keys' },
    );
  }
}

function spaceOf(tenant: string, key: string): KeySpace {
  return { tenant, space: key.startsWith(`${MAIL_ROOM}:`) ? MAIL_SPACE : SPACE, namespace: '' };
}
