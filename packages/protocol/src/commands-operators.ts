import type { JsonObject } from './envelope.ts';

export interface WebhookRule {
  rule_id: string;
  url: string;
  room: string | null;
  channel: string | null;
  owner: string;
  timeout_seconds: number;
  durable: boolean;
  signed: boolean;
  created_at: string;
  queued: number;
  delivered: number;
  failed: number;
  dropped: number;
  dead_letters: number;
}

export interface DeadLetter {
  delivery_id: string;
  attempts: number;
  last_error: string;
  failed_at: string;
  envelope: JsonObject;
}

export interface CronJob {
  job_id: string;
  room: string;
  channel: string;
  owner: string;
  durable: boolean;
  delay_seconds: number | null;
  interval_seconds: number | null;
  /** 0: until cancelled. */
  repeat_count: number;
  cron: string | null;
  timezone: string | null;
  catch_up: boolean;
  created_at: string;
  next_run_at: string | null;
  iterations: number;
  missed: number;
}

export interface OmegaSubstrate {
  substrate_id: string;
  name: string;
  kind: string;
  metadata: JsonObject;
  registered_at: string;
}

export interface OmegaEvent {
  event_id: string;
  substrate_id: string;
  signal: string;
  payload: JsonObject;
  timestamp: string;
}

/** A key with its value, as a list with values has it. */
export interface StoreListEntry {
  key: string;
  value: unknown;
  version: number;
  expires_at?: string;
}

/** A change of a watched key, as the `payload` of a `system` notice. */
export interface StoreNotice {
  event: 'store_changed';
  namespace: string;
  key: string;
  operation: 'set' | 'delete' | 'expire';
  version: number;
  value?: unknown;
}

type None = Record<string, never>;

/** Of every list: at most `limit` entries behind the place that `next` of the answer before named. */
interface PageArguments {
  limit?: number;
  after?: string;
}

export interface OperatorCommands {
  'op.webhook.register': {
    args: {
      url: string;
      room?: string;
      channel?: string;
      headers?: Record<string, string>;
      timeout_seconds?: number;
      secret?: string;
      durable?: boolean;
    };
    result: WebhookRule;
  };
  'op.webhook.list': { args: PageArguments; result: { rules: WebhookRule[]; count: number; next?: string } };
  'op.webhook.unregister': { args: { rule_id: string }; result: { removed: true; rule_id: string } };
  'op.webhook.dead_letters': {
    args: PageArguments & { rule_id: string };
    result: { dead_letters: DeadLetter[]; count: number; next?: string };
  };
  'op.webhook.retry': { args: { rule_id: string; delivery_id?: string }; result: { requeued: number } };

  'op.cron.schedule': {
    args: {
      room: string;
      channel?: string;
      payload: JsonObject;
      delay_seconds?: number;
      interval_seconds?: number;
      repeat_count?: number;
      cron?: string;
      timezone?: string;
      durable?: boolean;
      catch_up?: boolean;
    };
    result: CronJob;
  };
  'op.cron.list': { args: PageArguments; result: { jobs: CronJob[]; count: number; next?: string } };
  'op.cron.cancel': { args: { job_id: string }; result: { cancelled: true; job_id: string } };

  'op.store.set': {
    args: { key: string; value: unknown; namespace?: string; ttl_seconds?: number; if_version?: number };
    result: { namespace: string; key: string; version: number; updated: boolean };
  };
  'op.store.get': {
    args: { key: string; namespace?: string };
    result: { found: boolean; value?: unknown; version?: number; expires_at?: string };
  };
  'op.store.list': {
    args: { namespace?: string; prefix?: string; limit?: number; after?: string; values?: boolean };
    /** `entries` when the values were asked for. */
    result: { keys: string[]; count: number; next?: string; entries?: StoreListEntry[] };
  };
  'op.store.delete': { args: { key: string; namespace?: string; if_version?: number }; result: { deleted: boolean } };
  'op.store.watch': {
    args: { namespace?: string; prefix?: string };
    result: { watching: true; namespace: string; prefix: string };
  };
  'op.store.unwatch': { args: { namespace?: string; prefix?: string }; result: { watching: false; removed: boolean } };

  'op.omega.status': {
    args: None;
    result: {
      enabled: boolean;
      room: string;
      channel: string;
      limits: { max_events: number; max_substrates: number };
      counts: { substrates: number; events: number };
    };
  };
  'op.omega.register_substrate': {
    args: { name: string; kind: string; metadata?: JsonObject };
    result: OmegaSubstrate;
  };
  'op.omega.list_substrates': {
    args: PageArguments;
    result: { substrates: OmegaSubstrate[]; count: number; next?: string };
  };
  'op.omega.unregister_substrate': {
    args: { substrate_id: string };
    result: { removed: true; removed_events: number };
  };
  'op.omega.emit_event': { args: { substrate_id: string; signal: string; payload?: JsonObject }; result: OmegaEvent };
  'op.omega.list_events': {
    args: PageArguments & { substrate_id?: string; signal?: string };
    result: { events: OmegaEvent[]; count: number; next?: string };
  };
  'op.omega.clear_events': {
    args: { substrate_id?: string; signal?: string };
    result: { removed_count: number; remaining_count: number };
  };
}
