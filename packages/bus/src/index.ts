export { Access, forbidden } from './access.ts';
export { anonymousPrincipal, anonymousRole } from './anonymous.ts';
export { Bus } from './bus.ts';
export { type AnyCommand, CommandSet, command } from './commands/command.ts';
export { coreCommands } from './commands/core.ts';
export { CommandRunner } from './commands/run.ts';
export { tokenCommands } from './commands/token.ts';
export type { Sender } from './connection/session.ts';
export { FaultCounters } from './counters.ts';
export { subjectIdentity } from './direct.ts';
export type { Awaitable, Engine, EngineEvents, StoredEvent, StreamAddress, StreamEvent } from './engine/engine.ts';
export { loadEngine } from './engine/open.ts';
export { timeEngine } from './engine/timed.ts';
export { Events, type Happening } from './events.ts';
export type { Tap } from './hub.ts';
export {
  type CronOperator,
  createCronOperator,
  DEFAULT_MAX_JOBS,
  DEFAULT_MAX_JOBS_PER_SUBJECT,
} from './operators/cron/cron.ts';
export { createOmegaOperator } from './operators/omega/omega.ts';
export type { Operator } from './operators/operator.ts';
export { DEFAULT_STORE_LIMITS, type StoreLimits } from './operators/store/space.ts';
export { createStoreOperator, type StoreOperator } from './operators/store/store.ts';
export {
  createWebhookOperator,
  DEFAULT_MAX_POSTS_PER_HOST,
  DEFAULT_MAX_RULES,
  DEFAULT_MAX_RULES_PER_SUBJECT,
  type WebhookOperator,
} from './operators/webhook/webhook.ts';
export { post, receipt } from './post.ts';
export {
  ACTIONS,
  type Action,
  type Grants,
  grantsOf,
  hasRole,
  type Principal,
  principalOf,
  type Verification,
} from './principal.ts';
export type { Inspection, Inspector } from './publish.ts';
export { Channel } from './rooms.ts';
export { checkTelemetry, type TelemetryMessage } from './submission.ts';
export { serverPrincipal, systemSender } from './system-sender.ts';
export { Doorway } from './websocket/doorway.ts';
export { Gate, type Refused } from './websocket/gate.ts';
export { type Beating, Heartbeat } from './websocket/heartbeat.ts';
export { createUpgradeServer, type Listening, listen, stop, type Tls } from './websocket/listener.ts';
export { checkOrigin } from './websocket/origin.ts';
export { TokenBucket } from './websocket/rate.ts';
export { Upgrades } from './websocket/upgrade.ts';
export { ViolationCount } from './websocket/violations.ts';
