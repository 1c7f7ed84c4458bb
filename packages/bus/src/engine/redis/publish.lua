-- Stores and publishes a batch of publications, each as a whole: idempotence, sequence, append, retention, publish.
--
-- KEYS   for each publication: its stream, its room's hash, its idempotence key
-- ARGV   1 a fresh epoch
--        2 run of the server; empty when no write that it answered can be lost, `?` for this server's own
--        3 for how long a tag is remembered, so that a try whose answer was lost is known again (ms)
--        4 `PUBLISH`, or in a cluster `SPUBLISH`
--        then for each publication:
--        1 channel
--        2 tag
--        3 size: entries that the stream keeps
--        4 ttl: how long it keeps each (ms)
--        5 bytes of envelopes that it keeps; -1: any number
--        6 topic
--        7 body, which ends with the envelope, but for the end that holds sequence and epoch
--        8 1 to keep the last entry whatever the limits say, else 0
--        9 for how long the id counts as sent (ms); 0 when its key is nobody else's
--        10 what the sequence begins with of a stream that never had an event
--        11 where the stream has to stand: `SEQUENCE EPOCH` (EPOCH may be empty), `=ID`, or empty: anywhere
-- Answer for each publication {sequence, epoch, duplicate (0 or 1)}; {sequence, epoch, 2, id of the last event} when the
-- stream stands elsewhere, so that nothing was stored; {error} when it failed
--
-- A publication that finds its own tag was stored by an earlier try whose answer was lost: it is told what that try came
-- to, and is no duplicate. The window and the age of entries go by the server's clock, whatever those of the nodes say.

local fresh, run, memory, send = ARGV[1], runOf(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
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

local function append(stream, room, id, channel, tag, size, ttl, most, topic, body, keeps, window, begin, expected, item)
  local at = touch(stream, room, channel, item)
  local last = at.sequence == 0 and begin or at.sequence + 1
  local sequence = last .. ''
  local mark = sequence .. ' ' .. at.epoch .. ' '
  local lifetime = integer(window)
  if window < memory then
    -- The tag is remembered for longer than the id counts: `<UNTIL` stands before it. A bare number is an earlier release's.
    mark, lifetime = mark .. '<' .. integer(now + window) .. ' ', integer(memory)
  end
  mark = mark .. tag
  if not redis.call('SET', id, mark, 'NX', 'PX', lifetime) then
    local first, epoch, rest = string.match(redis.call('GET', id), '^(%d+) (%S+) (.+)$')
    if string.match(rest, '%S+$') == tag then
      return { first, epoch, 0 }
    end
    local till = string.match(rest, '^<(%d+) ')
    if incarnation(epoch) == incarnation(at.epoch) and (not till or tonumber(till) > now) then
      return { first, epoch, 1 }
    end
    redis.call('SET', id, mark, 'PX', lifetime)
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
  if size == '0' then
    redis.call('DEL', stream)
  else
    redis.call('XADD', stream, 'MAXLEN', '=', size, sequence .. '-' .. order, 'e', body, 's', start .. '')
  end
  local due = ttl == at.ttl and keeps == (at.till >= FOREVER) and at.due or 0
  at.sequence, at.size, at.ttl = last, size, ttl
  at.till = keeps and FOREVER or now + (size == '0' and 0 or ttl) + REST
  if size == '0' then
    due = 0
    at.floor = at.finish
  else
    if now >= due then
      expire(stream, at, last, instant)
      due = math.floor(now + endure(stream, at))
    end
    bound(stream, at, most)
  end
  at.due, at.changed = due, true
  at.id = string.match(body, '^%S+ %S+ (%S+)')
  local message = channel .. ' ' .. sequence .. ' ' .. at.epoch .. ' ' .. order .. ' ' .. body
  redis.call(send, topic, message)
  if send == 'SPUBLISH' then
    -- A cluster knows no patterns: whoever wants all rooms of a tenant is told of them at one topic a partition.
    redis.call(send, string.match(topic, '^.*/') .. '*', string.match(topic, '[^/]*$') .. ' ' .. message)
  end
  return { sequence, at.epoch, 0 }
end

local answers = {}
for item = 1, #KEYS / 3 do
  local k, a = (item - 1) * 3, 4 + (item - 1) * 11
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
    ARGV[a + 8] == '1',
    tonumber(ARGV[a + 9]),
    tonumber(ARGV[a + 10]),
    ARGV[a + 11],
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
