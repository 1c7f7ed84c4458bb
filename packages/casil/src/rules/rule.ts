/** One kind of secret that can be told by its shape alone. Patterns are of RE2 syntax. */
export interface SecretRule {
  /** Names the rule in outcomes, logs and telemetry: `secret:ID`. */
  readonly id: string;
  readonly description: string;
  /** How every secret of the kind begins: short and telling, since it decides where to look closer. */
  readonly head: string;
  /** Between head and body. With it, head and lead are only context (`Bearer `, `PASSWORD=`): the body is the secret. */
  readonly lead?: string;
  /** What follows. */
  readonly body: string;
  /** A made-up text that the rule matches. Put together by the code, so that it is no literal in the repository. */
  readonly example: string;
  /** The head may stand directly behind a letter or digit. */
  readonly touching?: boolean;
  /** How many characters at the end of the body are context as well. */
  readonly tail?: number;
  /** What the shape cannot say; asked of the secret without its context, and of the text around it. */
  readonly check?: (secret: string, around: Surroundings) => boolean;
  /** The rule goes by the name before a value: other rules may find the same secret by its shape. */
  readonly named?: boolean;
}

/** The text that a possible secret stands in, and where: from `from` up to `to`. */
export interface Surroundings {
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

type Extras = Pick<SecretRule, 'lead' | 'touching' | 'tail' | 'check' | 'named'>;

/** Writes a rule in one line. */
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

/** `length` characters that look random and are always the same ones. */
export function filler(length: number, alphabet: string = ALPHANUMERIC): string {
  let text = '';
  for (let i = 0, state = 17; i < length; i++) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    text += alphabet[Math.floor((state / 2_147_483_648) * alphabet.length)];
  }
  return text;
}
