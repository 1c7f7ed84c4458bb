-- Stores and publishes a batch of publications, each as a whole: idempotence, sequence, append, retention, publish.
--
-- KEYS   for each publication: its stream, its room's hash, its idempotence key
-- ARGV   1 idempotence window (ms)
--        2 a fresh epoch
--        3 run of the server; empty when no write that it answered can be lost, or nobody can tell
--        then for each publication:
--        1 channel
--        2 tag
--        3 size: entries that the stream keeps
--        4 ttl: how long it keeps each (ms)
--        5 bytes of envelopes that it keeps; -1: any number
--        6 topic
--        7 body, which ends with the envelope, but for the end that holds sequence and epoch
--        8 where the stream has to stand: `SEQUENCE EPOCH` (EPOCH may be empty), `=ID`, or empty: anywhere
-- Answer for each publication {sequence, epoch, duplicate (0 or 1)}; {sequence, epoch, 2, id of the last event} when the
-- stream stands elsewhere, so that nothing was stored; {error} when it failed
--
-- A publication that finds its own tag was stored by an earlier try whose answer was lost: it is told what that try came
-- to, and is no duplicate. The window and the age of entries go by the server's clock, whatever those of the nodes say.

local window, fresh, run = ARGV[1], ARGV[2], ARGV[3]
local instant = microseconds()
local now = math.floor(instant / 1000)

-- A stream that several of the batch go to is looked up once, and where it stands is written once, at the end.
local touched = {}
local function touch(stream, room, channel, item)
  local at = touched[stream]
  if not at then
    at = standing(room, channel)
    if not at then
      at = { room = room, channel = channel, sequence = 0, epoch = fresh .. item, size = '0', ttl = 0, id = '', run = run }
      at.due, at.finish, at.floor, at.till = 0, 0, 0, now + REST
      -- What an evicted or lost entry of the room's hash left behind would refuse the sequences that begin anew.
      redis.call('DEL', stream)
    end
    at.changed = follow(stream, at, run, fresh, now)
    touched[stream] = at
  end
  return at
end

-- Bytes of the envelope's end around sequence and epoch: `"sequence":…,"epoch":"…"}}`.
local FRAME = 24

-- Whether a stream stands where a publication expects it.
local function meets(at, expected)
  local sequence, epoch = string.match(expected, '^(%d+) (%S*)$')
  if not sequence then
    return expected == '=' .. at.id
  end
  return tonumber(sequence) == at.sequence and (epoch == '' or epoch == at.epoch)
end

local function append(stream, room, id, channel, tag, size, ttl, most, topic, body, expected, item)
  local at = touch(stream, room, channel, item)
  local last = at.sequence + 1
  local sequence = last .. ''
  local mark = sequence .. ' ' .. at.epoch .. ' ' .. tag
  if not redis.call('SET', id, mark, 'NX', 'PX', window) then
    local first, epoch, owner = string.match(redis.call('GET', id), '^(%d+) (%S+) .-(%S+)$')
    if owner == tag then
      return { first, epoch, 0 }
    end
    if incarnation(epoch) == incarnation(at.epoch) then
      return { first, epoch, 1 }
    end
    redis.call('SET', id, mark, 'PX', window)
  end

  if expected ~= '' and not meets(at, expected) then
    redis.call('DEL', id)
    -- What is told of a stream that never was has to stay true.
    at.changed = at.changed or at.sequence == 0
    return { at.sequence .. '', at.epoch, 2, at.id }
  end

  local order = integer(instant + item)
  local start = at.finish
  -- Nothing in front of the envelope holds a brace.
  at.finish = start + #body - string.find(body, '{', 1, true) + 1 + FRAME + #sequence + #at.epoch
  local due = ttl == at.ttl and at.due or 0
  if size == '0' then
    redis.call('DEL', stream)
    due = 0
    at.floor = at.finish
  else
    redis.call('XADD', stream, 'MAXLEN', '=', size, sequence .. '-' .. order, 'e', body, 's', start .. '')
    at.ttl = ttl
    if now >= due then
      local pause = math.min(ttl / 8, 60000)
      expire(stream, at, last, instant)
      redis.call('PEXPIRE', stream, integer(ttl + 2 * pause))
      due = math.floor(now + pause)
    end
    if most >= 0 and at.finish - at.floor > most then
      local _, kept = cut(stream, last, function(entry)
        return startOf(entry) < at.finish - most
      end)
      at.floor = kept and startOf(kept) or at.finish
    end
  end
  at.sequence, at.size, at.ttl, at.due, at.changed = last, size, ttl, due, true
  at.till = now + (size == '0' and 0 or ttl) + REST
  at.id = string.match(body, '^%S+ %S+ (%S+)')
  redis.call('PUBLISH', topic, channel .. ' ' .. sequence .. ' ' .. at.epoch .. ' ' .. order .. ' ' .. body)
  return { sequence, at.epoch, 0 }
end

local answers = {}
for item = 1, #KEYS / 3 do
  local k, a = (item - 1) * 3, 3 + (item - 1) * 8
  local ok, answer = pcall(
    append,
    KEYS[k + 1],
    KEYS[k + 2],
    KEYS[k + 3],
    ARGV[a + 1],
    ARGV[a + 2],
    ARGV[a + 3],
    tonumber(ARGV[a + 4]),
    tonumber(ARGV[a + 5]),
    ARGV[a + 6],
    ARGV[a + 7],
    ARGV[a + 8],
    item
  )
  if ok then
    answers[item] = answer
  else
    answers[item] = { type(answer) == 'table' and answer.err or tostring(answer) }
  end
end
for _, at in pairs(touched) do
  if at.changed then
    note(at)
  end
end
return answers
