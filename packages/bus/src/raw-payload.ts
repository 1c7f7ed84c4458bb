import type { JsonObject } from '@arqonbus/protocol';

/**
 * The payload of an event that arrived as text and is passed on as text. It is parsed only when something has to look
 * into it: a hook, a schema or the content policy.
 */
export class RawPayload {
  /** JSON text of one object, exactly as `JSON.stringify` writes it. */
  readonly text: string;
  private parsed: JsonObject | null = null;

  constructor(text: string) {
    this.text = text;
  }

  get value(): JsonObject {
    this.parsed ??= JSON.parse(this.text) as JsonObject;
    return this.parsed;
  }
}

export type Payload = JsonObject | RawPayload;

export function payloadValue(payload: Payload): JsonObject {
  return payload instanceof RawPayload ? payload.value : payload;
}

export function payloadText(payload: Payload): string {
  return payload instanceof RawPayload ? payload.text : JSON.stringify(payload);
}
