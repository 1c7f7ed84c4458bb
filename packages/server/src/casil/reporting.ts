import type { Events } from '@arqonbus/bus';
import { type CasilDecision, casilMetadata } from '@arqonbus/casil';
import type { JsonObject } from '@arqonbus/protocol';

/** Per tenant, plain passes are sent to telemetry at most once per interval; other outcomes are always sent. */
const PLAIN_INTERVAL_MS = 100;
/** Tenants whose last plain pass is remembered. */
const MAX_TENANTS = 10_000;
/** Decisions of one sender reported individually … */
const MAX_TOLD = 20;
/** … within this time; the rest are reported as one at its end. */
const WINDOW_MS = 1_000;

export interface DecisionReports {
  readonly events: Events;
  readonly log: (level: 'warn' | 'info', fields: JsonObject, message: string) => void;
  /** Called with the duration of each inspection, in seconds. */
  readonly observe: (seconds: number) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Decisions of one sender in the current second. */
interface Window {
  told: number;
  /** The last decision that was not reported individually, and the number of such decisions. */
  last: CasilDecision | undefined;
  rest: number;
}

/** Reports content policy decisions to the log, telemetry and metrics, as the policy configures. */
export class DecisionReporter {
  private readonly reports: DecisionReports;
  /** Tenant → time of its last reported plain pass. */
  private readonly plain: Map<string, number> = new Map();
  private windows: Map<string, Window> = new Map();

  constructor(reports: DecisionReports) {
    this.reports = reports;
  }

  tell(decision: CasilDecision): void {
    const { tenant, verdict, seconds, isRepeatViolation, senderId, room, channel } = decision;
    const { events, observe } = this.reports;
    observe(seconds);
    const isPlain = verdict.decision === 'ALLOW' && verdict.rules.length === 0 && verdict.flags.length === 0;
    if (isPlain) this.tellPlain(decision);
    else if (this.mayTell(decision)) this.report(decision);
    if (!isRepeatViolation) return;
    const payload = { client_id: senderId, room, channel, reason_code: verdict.reasonCode };
    events.emit('casil_repeat_violation', tenant, payload, 'warning');
  }

  private tellPlain(decision: CasilDecision): void {
    const { tenant, settings } = decision;
    if (!settings.metadata_to_telemetry) return;
    const now = this.reports.now();
    if (now - (this.plain.get(tenant) ?? Number.NEGATIVE_INFINITY) < PLAIN_INTERVAL_MS) return;
    if (this.plain.size >= MAX_TENANTS) this.plain.clear();
    this.plain.set(tenant, now);
    this.report(decision);
  }

  /** Whether to report a decision individually: a sender with thousands of them must not fill the log. */
  private mayTell(decision: CasilDecision): boolean {
    const { settings, senderId } = decision;
    if (!settings.metadata_to_logs && !settings.metadata_to_telemetry) return false;
    if (this.windows.size === 0) setTimeout(() => this.closeWindows(), WINDOW_MS).unref();
    let window = this.windows.get(senderId);
    if (window === undefined) {
      window = { told: 0, last: undefined, rest: 0 };
      this.windows.set(senderId, window);
    }
    if (window.told < MAX_TOLD) {
      window.told++;
      return true;
    }
    window.last = decision;
    window.rest++;
    return false;
  }

  private closeWindows(): void {
    const ended = this.windows;
    this.windows = new Map();
    for (const { last, rest } of ended.values()) if (last !== undefined) this.report(last, { count: rest });
  }

  private report(decision: CasilDecision, more: JsonObject = {}): void {
    const { tenant, verdict, settings } = decision;
    const { events, log } = this.reports;
    const facts = { ...factsOf(decision), ...more };
    const isBlocked = verdict.decision === 'BLOCK';
    if (settings.metadata_to_logs && isBlocked) log('warn', { tenant, ...facts }, 'content blocked');
    else if (settings.metadata_to_logs && verdict.decision === 'ALLOW_WITH_REDACTION') {
      log('info', { tenant, ...facts }, 'content redacted');
    }
    if (settings.metadata_to_telemetry) events.emit('casil_decision', tenant, facts, isBlocked ? 'warning' : 'info');
  }
}

/** What is reported about a decision: the place and the rules, never the matched text. */
function factsOf({ verdict, room, channel, senderId, messageId }: CasilDecision): JsonObject {
  return {
    ...casilMetadata(verdict),
    rules: [...verdict.rules],
    room,
    channel,
    client_id: senderId,
    message_id: messageId,
  };
}
