export type Outcome = 'ok' | 'warn' | 'fail';

/** The result of one check of `arqon doctor`. */
export interface Finding {
  readonly check: string;
  readonly outcome: Outcome;
  /** One sentence. */
  readonly message: string;
  /** What to do about it; missing if nothing is needed. */
  readonly remedy?: string;
}

export function ok(check: string, message: string): Finding {
  return { check, outcome: 'ok', message };
}

export function warn(check: string, message: string, remedy: string): Finding {
  return { check, outcome: 'warn', message, remedy };
}

/** Without a remedy, the message says what to do. */
export function failed(check: string, message: string, remedy?: string): Finding {
  return { check, outcome: 'fail', message, ...(remedy === undefined ? {} : { remedy }) };
}
