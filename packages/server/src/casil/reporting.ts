import type { Events } from '@arqonbus/bus';
import { type CasilDecision, casilMetadata } from '@arqonbus/casil';
import type { JsonObject } from '@arqonbus/protocol';

/** Plain passes of a tenant are told to telemetry at most once in this time; every other outcome always is. */
const PLAIN_INTERVAL_MS = 100;
/** Tenants whose last plain pass is remembered. */
const MAX_TENANTS = 10_000;

export interface DecisionReports {
  readonly events: Events;
  readonly log: (level: 'warn' | 'info', fields: JsonObject, message: string) => void;
  /** Told how many seconds each inspection took. */
  readonly observe: (seconds: number) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Tells what the content policy decides: to the log, to telemetry, to the metrics; each as the policy says. */
export class DecisionReporter {
  private readonly reports: DecisionReports;
  /** Tenant → time of its last plain pass that was told. */
  private readonly plain: Map<string, number> = new Map();

  constructor(reports: DecisionReports) {
    this.reports = reports;
  }

  tell(decision: CasilDecision): void {
    const { tenant, verdict, settings, seconds, isRepeatViolation, senderId, room, channel } = decision;
    const { events, log, observe } = this.reports;
    observe(seconds);
    const isPlain = verdict.decision === 'ALLOW' && verdict.rules.length === 0 && verdict.flags.length === 0;
    const isLogged = settings.metadata_to_logs && verdict.decision !== 'ALLOW';
    const isTold = settings.metadata_to_telemetry && (!isPlain || this.isDue(tenant));
    if (isLogged || isTold) {
      const facts = factsOf(decision);
      if (isLogged && verdict.decision === 'BLOCK') log('warn', { tenant, ...facts }, 'content blocked');
      else if (isLogged) log('info', { tenant, ...facts }, 'content redacted');
      if (isTold) events.emit('casil_decision', tenant, facts, verdict.decision === 'BLOCK' ? 'warning' : 'info');
    }
    if (!isRepeatViolation) return;
    const payload = { client_id: senderId, room, channel, reason_code: verdict.reasonCode };
    events.emit('casil_repeat_violation', tenant, payload, 'warning');
  }

  /** Whether a plain pass of the tenant is to be told now. */
  private isDue(tenant: string): boolean {
    const now = this.reports.now();
    if (now - (this.plain.get(tenant) ?? Number.NEGATIVE_INFINITY) < PLAIN_INTERVAL_MS) return false;
    if (this.plain.size >= MAX_TENANTS) this.plain.clear();
    this.plain.set(tenant, now);
    return true;
  }
}

/** What logs and telemetry say of a decision: where and by which rules, never what was matched. */
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
