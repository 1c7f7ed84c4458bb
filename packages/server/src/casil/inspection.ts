import type { Events, Inspection, Inspector, Sender } from '@arqonbus/bus';
import { type CasilLayer, casilMetadata, type Verdict } from '@arqonbus/casil';
import { BusError, type CasilMetadata, type ErrorCode, type JsonObject, SERVER } from '@arqonbus/protocol';

/** Plain passes are told to telemetry at most once in this time; every other outcome always is. */
const PLAIN_INTERVAL_MS = 100;

const SENTENCES: Readonly<Record<string, string>> = {
  CASIL_POLICY_BLOCKED_SECRET:
    'The content policy blocked this: it seems to hold a secret. Take it out and send again.',
  CASIL_POLICY_OVERSIZE: 'The content policy blocked this: the payload is larger than it allows.',
  CASIL_INTERNAL_ERROR: 'The content policy could not inspect this, and blocks what it cannot inspect.',
};

export type InspectionLog = (level: 'warn' | 'info', fields: JsonObject, message: string) => void;

/** Puts the content policy into the way of every message: what it decides, and who is told of it. */
export class PolicyInspector implements Inspector {
  readonly layer: CasilLayer;
  private readonly log: InspectionLog;
  private readonly now: () => number;
  private events: Events | null = null;
  /** Told how many seconds each inspection took; must neither throw nor wait. */
  onInspected: (seconds: number) => void = () => {};
  private lastPlain = 0;

  constructor(layer: CasilLayer, log: InspectionLog, now: () => number) {
    this.layer = layer;
    this.log = log;
    this.now = now;
  }

  get enabled(): boolean {
    return this.layer.enabled;
  }

  /** Where decisions are told; the bus, which needs an inspector first, has them. */
  tellTo(events: Events): void {
    this.events = events;
  }

  inspect(inspection: Inspection, sender: Sender): { payload: JsonObject; metadata: CasilMetadata | undefined } {
    // What the server says of itself holds no client's content.
    if (sender.id === SERVER) return { payload: inspection.payload, metadata: undefined };
    const began = performance.now();
    const verdict = this.layer.inspect(inspection);
    if (!verdict.inScope) return { payload: inspection.payload, metadata: undefined };
    this.onInspected((performance.now() - began) / 1000);
    const facts = {
      decision: verdict.decision,
      reason_code: verdict.reasonCode,
      kind: verdict.kind,
      risk_level: verdict.riskLevel,
      flags: [...verdict.flags],
      ...(verdict.wouldBe === undefined ? {} : { would_be: verdict.wouldBe }),
      rules: [...verdict.rules],
      room: inspection.room ?? null,
      channel: inspection.channel ?? null,
      client_id: sender.id,
      message_id: inspection.id,
    };
    this.tell(verdict, facts, sender);
    if (verdict.decision === 'BLOCK') this.block(verdict, inspection, sender);
    const { metadata_to_envelope: visible } = this.layer.policy.settings;
    return { payload: verdict.payload, metadata: visible ? casilMetadata(verdict) : undefined };
  }

  shown(inspection: Inspection): JsonObject {
    return this.layer.redactForObservability(inspection);
  }

  private tell(verdict: Verdict, facts: JsonObject, { principal }: Sender): void {
    const { settings } = this.layer.policy;
    if (settings.metadata_to_logs && verdict.decision === 'BLOCK') this.log('warn', facts, 'content blocked');
    if (settings.metadata_to_logs && verdict.decision === 'ALLOW_WITH_REDACTION') {
      this.log('info', facts, 'content redacted');
    }
    if (!settings.metadata_to_telemetry) return;
    if (verdict.decision === 'ALLOW' && verdict.rules.length === 0 && verdict.flags.length === 0) {
      if (this.now() - this.lastPlain < PLAIN_INTERVAL_MS) return;
      this.lastPlain = this.now();
    }
    const severity = verdict.decision === 'BLOCK' ? 'warning' : 'info';
    this.events?.emit('casil_decision', principal.tenant, facts, severity);
  }

  private block({ reasonCode }: Verdict, { room, channel }: Inspection, sender: Sender): never {
    if (this.layer.blocked(sender.id)) {
      const payload = { client_id: sender.id, room: room ?? null, channel: channel ?? null, reason_code: reasonCode };
      this.events?.emit('casil_repeat_violation', sender.principal.tenant, payload, 'warning');
    }
    const sentence = SENTENCES[reasonCode] ?? 'The content policy blocked this.';
    throw new BusError(reasonCode as ErrorCode, sentence, {
      reason: reasonCode,
      room: room ?? null,
      channel: channel ?? null,
    });
  }
}
