/** One kind of secret that is recognizable by its format alone. Patterns are in RE2 syntax. */
export interface SecretRule {
  /** The rule's name in outcomes, logs and telemetry: `secret:ID`. */
  readonly id: string;
  readonly description: string;
  /** The start of every secret of the kind: short and distinctive, since it determines where to look closer. */
  readonly head: string;
  /**
   * The part between head and body. If set, head and lead are only context (`Bearer `, `PASSWORD=`): the body is the
   * secret.
   */
  readonly lead?: string;
  /** The rest. */
  readonly body: string;
  /** A made-up text that the rule matches. Assembled by code, so that the repository contains no such literal. */
  readonly example: string;
  /** The head may directly follow a letter or digit. */
  readonly touching?: boolean;
  /** Number of characters at the end of the body that are also context. */
  readonly tail?: number;
  /**
   * An additional check beyond the format, called with the secret without its context, and with the surrounding text.
   */
  readonly check?: (secret: string, around: Surroundings) => boolean;
  /** The rule depends on the name before a value: other rules may find the same secret by its format. */
  readonly named?: boolean;
}

/** The text around a possible secret, which is at `from` up to `to`. */
export interface Surroundings {
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

type Extras = Pick<SecretRule, 'lead' | 'touching' | 'tail' | 'check' | 'named'>;

/** Defines a rule in one line. */
export function rule(
  id: string,
  description: string,
  head: string,
  body: string,
  example: string,
  extras: Extras = {},
): SecretRule {
  return { id, description, head, body, example, ...extras };
}

export const DIGITS = '0123456789';
export const HEX = '0123456789abcdef';
export const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
export const LOWER = 'abcdefghijklmnopqrstuvwxyz0123456789';
export const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** RFC 4648 base32. */
export const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** `length` pseudo-random characters, always the same. */
export function filler(length: number, alphabet: string = ALPHANUMERIC): string {
  let text = '';
  for (let i = 0, state = 17; i < length; i++) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    text += alphabet[Math.floor((state / 2_147_483_648) * alphabet.length)];
  }
  return text;
}
