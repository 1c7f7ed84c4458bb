/** The fixed limits of the wire format (PROTOCOL section 9). Configurable limits are in the server's configuration. */

/** Largest frame a server accepts by default, in bytes of UTF-8. */
export const MAX_MESSAGE_BYTES = 1_048_576;
/** Deepest nesting of `payload` and `args`; the object itself is level 1. */
export const MAX_NESTING = 64;
/** Maximum number of recipients in `to`. */
export const MAX_RECIPIENTS = 100;
/** Maximum number of subscriptions (channels and rooms) of one connection. */
export const MAX_SUBSCRIPTIONS = 1_000;
/** Maximum number of channels of one tenant. */
export const MAX_CHANNELS_PER_TENANT = 100_000;
/** Longest room or channel name, in characters. */
export const MAX_NAME_LENGTH = 128;
/** Longest `id`, including its prefix. */
export const MAX_ID_LENGTH = 128;
/** How long an `id` is remembered for idempotence, in milliseconds. */
export const IDEMPOTENCE_WINDOW_MS = 120_000;
/** Protocol violations within VIOLATION_WINDOW_MS that close a connection with 1008. */
export const MAX_VIOLATIONS = 10;
export const VIOLATION_WINDOW_MS = 60_000;
