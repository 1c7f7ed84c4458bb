import { createHash } from 'node:crypto';

/** A Lua script and the digest that calls it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

export function script(name: string, lua: string): Script {
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/*
 * Where a stream stands is one field of its room's hash: `SEQUENCE EPOCH SIZE TTL DUE`. SIZE and TTL are the retention
 * it was last published with; DUE is when old entries are looked for again (milliseconds).
 */
const STANDING = `
local function standing(room, channel)
  local text = redis.call('HGET', room, channel)
  if not text then return nil end
  local sequence, epoch, size, ttl, due = string.match(text, '^(%d+) (%S+) (%d+) (%d+) (%d+)$')
  return { sequence = tonumber(sequence), epoch = epoch, size = size, ttl = tonumber(ttl), due = tonumber(due) }
end
local function integer(number) return string.format('%.0f', number) end
local function incarnation(epoch) return string.match(epoch, '^[^-]+') end
`;

/*
 * Forgets the entries accepted at or before a time. Accept times rise with the sequence (but for moments by which the
 * clocks of nodes differ), so the boundary is found by bisection: no pause, however much has grown old.
 */
const EXPIRE = `
local function accepted(entry) return tonumber(string.match(entry[2][2], '^%S+ (%d+)')) end
local function sequenceOf(entry) return tonumber(string.match(entry[1], '^%d+')) end
local function expire(stream, last, cutoff)
  local head = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not head then return last + 1 end
  local low, high = sequenceOf(head), last + 1
  if accepted(head) > cutoff then return low end
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', stream, integer(middle), '+', 'COUNT', 1)[1]
    if entry and accepted(entry) > cutoff then high = middle else low = middle end
  end
  redis.call('XTRIM', stream, 'MINID', integer(high))
  return high
end
`;

/**
 * Stores and publishes a batch of publications, each as a whole: idempotence, sequence, append, retention, publish.
 *
 * Keys, for each: its stream, its room's hash, its idempotence key. Arguments: now (ms), idempotence window (ms), a
 * fresh epoch, then for each: channel, tag, size, ttl (ms), topic, body. Answers for each
 * `{sequence, epoch, duplicate}` or, when it failed, `{error}`. A publication that finds its own tag was stored by an
 * earlier try whose answer was lost: it is told what that try came to, and is no duplicate.
 */
export const APPEND: Script = script(
  'append',
  `${STANDING}${EXPIRE}
local now, window, fresh = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local instant = clock[1] * 1000000 + clock[2]

-- A stream that several of the batch go to is looked up once, and its standing written once, at the end.
local touched = {}
local function touch(stream, room, channel, item)
  local at = touched[stream]
  if not at then
    at = standing(room, channel) or { sequence = 0, epoch = fresh .. item, due = 0 }
    at.room, at.channel = room, channel
    touched[stream] = at
  end
  return at
end

local function append(stream, room, id, channel, tag, size, ttl, topic, body, item)
  local at = touch(stream, room, channel, item)
  local sequence = integer(at.sequence + 1)
  local mark = sequence .. ' ' .. at.epoch .. ' ' .. ARGV[1] .. ' ' .. tag
  if not redis.call('SET', id, mark, 'NX', 'PX', ARGV[2]) then
    local first, epoch, time, owner = string.match(redis.call('GET', id), '^(%d+) (%S+) (%d+) (%S+)$')
    if owner == tag then return { first, epoch, 0 } end
    if now - tonumber(time) <= window and incarnation(epoch) == incarnation(at.epoch) then return { first, epoch, 1 } end
    redis.call('SET', id, mark, 'PX', ARGV[2])
  end
  local order = integer(instant + item)
  local due = tonumber(ttl) == at.ttl and at.due or 0
  if size == '0' then
    redis.call('DEL', stream)
    due = 0
  else
    redis.call('XADD', stream, 'MAXLEN', '=', size, sequence .. '-' .. order, 'e', body)
    if now >= due then
      local age = tonumber(ttl)
      local pause = math.min(age / 8, 60000)
      expire(stream, at.sequence + 1, now - age)
      redis.call('PEXPIRE', stream, integer(age + 2 * pause))
      due = now + pause
    end
  end
  at.sequence, at.size, at.ttl, at.due, at.changed = at.sequence + 1, size, tonumber(ttl), due, true
  redis.call('PUBLISH', topic, channel .. ' ' .. sequence .. ' ' .. at.epoch .. ' ' .. order .. ' ' .. body)
  return { sequence, at.epoch, 0 }
end

local answers = {}
for item = 1, #KEYS / 3 do
  local k, a = (item - 1) * 3, 3 + (item - 1) * 6
  local ok, answer = pcall(append, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3],
    ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6], item)
  if ok then answers[item] = answer
  else answers[item] = { type(answer) == 'table' and answer.err or tostring(answer) } end
end
for _, at in pairs(touched) do
  if at.changed then
    local text = integer(at.sequence) .. ' ' .. at.epoch .. ' ' .. at.size .. ' ' .. integer(at.ttl) .. ' ' .. integer(at.due)
    redis.call('HSET', at.room, at.channel, text)
  end
end
return answers
`,
);

/**
 * Where a stream stands, opening it if it never was. Keys: stream, room. Arguments: channel, now, fresh epoch.
 * Answers `{sequence, epoch, oldest}`.
 */
export const STATE: Script = script(
  'state',
  `${STANDING}${EXPIRE}
local at = standing(KEYS[2], ARGV[1])
if not at then
  redis.call('HSET', KEYS[2], ARGV[1], '0 ' .. ARGV[3] .. ' 0 0 0')
  return { '0', ARGV[3], '1' }
end
return { integer(at.sequence), at.epoch, integer(expire(KEYS[1], at.sequence, tonumber(ARGV[2]) - at.ttl)) }
`,
);

/**
 * Reads a range of a stream, without what has grown too old. Keys: stream, room. Arguments: channel, now, from, to
 * (inclusive ids as XRANGE takes them), count, `first` or `last`. Answers `{epoch, {key, body, key, body, …}}`, in the
 * order asked for.
 */
export const READ: Script = script(
  'read',
  `${STANDING}${EXPIRE}
local at = standing(KEYS[2], ARGV[1])
if not at then return { '', {} } end
expire(KEYS[1], at.sequence, tonumber(ARGV[2]) - at.ttl)
local entries
if ARGV[6] == 'last' then entries = redis.call('XREVRANGE', KEYS[1], ARGV[4], ARGV[3], 'COUNT', ARGV[5])
else entries = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[4], 'COUNT', ARGV[5]) end
local flat = {}
for i, entry in ipairs(entries) do
  flat[2 * i - 1] = entry[1]
  flat[2 * i] = entry[2][2]
end
return { at.epoch, flat }
`,
);

/** Forgets a stream. Keys: stream, room. Argument: channel. Answers how many streams the room still has. */
export const DROP: Script = script(
  'drop',
  `redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('HLEN', KEYS[2])
`,
);

/**
 * Gives a stream whose end was lost a new epoch, so that no sequence means two events. It keeps what history it has and
 * its incarnation, the part of an epoch before `-`, by which ids are remembered. Keys: room. Arguments: channel, the
 * epoch that is no longer true, the rest of the new one. Does nothing when another node was first. Answers
 * `{sequence, epoch}`, or nothing when there is no such stream.
 */
export const RENEW: Script = script(
  'renew',
  `local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then return {} end
local sequence, epoch, rest = string.match(text, '^(%d+) (%S+) (.*)$')
if epoch == ARGV[2] then
  epoch = string.match(epoch, '^[^-]+') .. '-' .. ARGV[3]
  redis.call('HSET', KEYS[1], ARGV[1], sequence .. ' ' .. epoch .. ' ' .. rest)
end
return { sequence, epoch }
`,
);

/**
 * Marks a key as done for a while. Key: the mark. Arguments: now, window (ms), who asks. Answers 1 when it was not, or
 * was by the same asker, whose answer was lost. The time in the mark lets a clock that the caller sets decide; the
 * expiry cleans up.
 */
export const CLAIM: Script = script(
  'claim',
  `local held = redis.call('GET', KEYS[1])
if held then
  local time, window, owner = string.match(held, '^(%d+) (%d+) (%S+)$')
  if owner == ARGV[3] then return 1 end
  if tonumber(ARGV[1]) - tonumber(time) <= tonumber(window) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[2])
return 1
`,
);

/**
 * Counts what a room holds. Key: room. Argument: the prefix of its streams' keys. Answers `{streams, messages, bytes}`.
 */
export const COUNT: Script = script(
  'count',
  `local all, streams, messages, bytes = redis.call('HGETALL', KEYS[1]), 0, 0, 0
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, 2) ~= '0 ' then
    local stream = ARGV[1] .. all[i]
    streams = streams + 1
    messages = messages + redis.call('XLEN', stream)
    bytes = bytes + (redis.call('MEMORY', 'USAGE', stream) or 0)
  end
end
return { streams, messages, bytes }
`,
);

export const BROKER_SCRIPTS: readonly Script[] = [APPEND, STATE, READ, DROP, RENEW, CLAIM, COUNT];
