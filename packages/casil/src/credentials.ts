const NONE: ReadonlySet<string> | undefined = undefined;

/**
 * Arguments that are meant to hold credentials, by command: they are not inspected, not redacted on their way to the
 * command, and never logged. `*` stands for all arguments: a policy must not stand in the way of its own repair, nor
 * redact the patterns that replace it.
 */
const CREDENTIAL_ARGUMENTS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['refresh_token', new Set(['token'])],
  ['op.webhook.register', new Set(['secret', 'headers'])],
  ['op.casil.reload', new Set(['*'])],
]);

/** The arguments of `command` that are not inspected; undefined when all are. */
export function credentialArguments(command: string | undefined): ReadonlySet<string> | undefined {
  return command === undefined ? NONE : CREDENTIAL_ARGUMENTS.get(command);
}
