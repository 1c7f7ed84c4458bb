export { Access, type Authorize, forbidden } from './access.ts';
export { anonymousPrincipal, anonymousRole } from './anonymous.ts';
export { Bus, createBus } from './bus.ts';
export {
  type AnyCommand,
  type Command,
  type CommandContext,
  CommandSet,
  command,
  JsonText,
} from './commands/command.ts';
export { CommandRunner } from './commands/run.ts';
export { type CommandSchemas, commandSchemas, typeName, type WireSchemas, wireSchemas } from './commands/schemas.ts';
export type { Frame } from './connection/frame.ts';
export type { Batch, Framing, Wire } from './connection/outbox.ts';
export type { Arrival, Profile, Sender, Session } from './connection/session.ts';
export { ViolationCount } from './connection/violations.ts';
export type { Core } from './core.ts';
export { FaultCounters, type RefusalListener } from './counters.ts';
export type {
  Attached,
  AttachOptions,
  BusHooks,
  CreateBusOptions,
  GivenPrincipal,
  OperatorOptions,
  PublishOptions,
  PublishResult,
} from './create-options.ts';
export { subjectIdentity } from './direct.ts';
export type { Page } from './directory.ts';
export { backupRecords } from './engine/backup/backup.ts';
export { type BackupCounts, BackupFault, type BackupRecord } from './engine/backup/record.ts';
export { checkBackup, type RestoreOptions, restoreBackup } from './engine/backup/restore.ts';
export type {
  Awaitable,
  Engine,
  EngineEvents,
  Published,
  Retention,
  StoredEvent,
  StreamAddress,
  StreamEvent,
} from './engine/engine.ts';
export { type EngineHost, type EngineHostOptions, hostEngine } from './engine/local/host.ts';
export { createMemoryEngine as memory } from './engine/memory/memory.ts';
export { loadEngine, type StorageOptions } from './engine/open.ts';
export { timeEngine } from './engine/timed.ts';
export { type BusEvent, Events, eventText, type Happening, type ServerEventType, type Severity } from './events.ts';
export type { Messages, MessagesRequest } from './history/messages.ts';
export { type HookKind, type HookOutcome, HookUnanswered, type HttpHookOptions } from './hooks/hooks.ts';
export type { Tap } from './hub.ts';
export { type Posted, receipt } from './ingress.ts';
export { type Inspected, type Inspection, type Inspector, NO_INSPECTION } from './inspection.ts';
export { networkOf } from './network.ts';
export {
  type CronOperator,
  type CronOptions,
  DEFAULT_MAX_JOBS,
  DEFAULT_MAX_JOBS_PER_SUBJECT,
} from './operators/cron/cron.ts';
export { DEFAULT_LEASE_LIMITS, type LeaseLimits } from './operators/lease/record.ts';
export { DEFAULT_OMEGA_OPTIONS, type OmegaOptions } from './operators/omega/omega.ts';
export type { Operator } from './operators/operator.ts';
export { DEFAULT_STORE_LIMITS, type StoreLimits } from './operators/store/space.ts';
export type { StoreOperator } from './operators/store/store.ts';
export {
  DEFAULT_MAX_POSTS_PER_HOST,
  DEFAULT_MAX_RULES,
  DEFAULT_MAX_RULES_PER_SUBJECT,
  DEFAULT_WEBHOOK_OPTIONS,
  type WebhookOperator,
  type WebhookOptions,
} from './operators/webhook/webhook.ts';
export { type Adjustable, type BusOptions, DEFAULT_LIMITS, DEFAULT_OPTIONS, type Limits } from './options.ts';
export {
  ACTIONS,
  type Action,
  API_KEY_SUBJECT,
  type Grants,
  grantsOf,
  hasRole,
  isSubject,
  MAX_SUBJECT_LENGTH,
  type Principal,
  principalOf,
  UNPRINTABLE,
  type Verification,
} from './principal.ts';
export type { PublishEvent, PublishHook } from './publish-hooks.ts';
export { Rates, SubjectBuckets, TokenBucket } from './rate.ts';
export { Channel } from './rooms.ts';
export { parseRules } from './rules/rule.ts';
export { checkRules } from './rules/rules.ts';
export { SchemaDefinitions } from './schemas/json-schema.ts';
export { NOTICES } from './schemas/notices.ts';
export { plainProblem } from './schemas/problem.ts';
export { type SenderMark, senderMark } from './sender-mark.ts';
export { checkTelemetry, type TelemetryMessage } from './submission.ts';
export type { MembershipHook } from './subscribe/join.ts';
export { serverPrincipal, systemSender } from './system-sender.ts';
export { longInterval, longTimeout } from './timers.ts';
export { Gate, type Refused } from './websocket/gate.ts';
export { UpgradeHandler } from './websocket/handshake.ts';
export { type Beating, Heartbeat, type Slots } from './websocket/heartbeat.ts';
export {
  createUpgradeServer,
  HANDSHAKE_LIMITS,
  type Listening,
  listen,
  PortTakenError,
  stop,
  type Tls,
} from './websocket/listener.ts';
export { checkOrigin } from './websocket/origin.ts';
export { answerAndClose, answerUnreadable } from './websocket/refusal.ts';
export { arrivalOf } from './websocket/sessions.ts';
