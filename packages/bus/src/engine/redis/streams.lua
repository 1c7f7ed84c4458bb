-- Stands in front of every script that touches streams.
--
-- A room's hash has a field for each channel, which says where its stream stands:
--
--   SEQUENCE EPOCH SIZE TTL DUE END FLOOR UNTIL LAST RUN
--
-- SIZE and TTL (ms) are the retention that it was last published with. At DUE (ms) it is searched for old entries again.
-- END is how many bytes of envelopes it was ever given; FLOOR is at most what it had been given before its oldest entry.
-- At UNTIL (ms) the stream is forgotten, unless somebody publishes or asks where it stands before; where that is 10^15,
-- its last entry stays whatever the limits say, and the stream with it. LAST is the id of its
-- last event; RUN is the run of the server in which it was written, if that may lose what it answered. These five are
-- missing where an earlier release wrote last, as `s` is in its entries: that counts as 0, and as not known.
--
-- An entry of a stream has the id SEQUENCE-ORDER. ORDER is when it was stored, in microseconds of the server's clock, by
-- which it ages. Its fields are `e`, the body, and `s`, how many bytes the stream had been given before it.

-- A number as text. Where it stays below 10^14, as sequences, bytes and milliseconds do, Lua writes it so by itself.
local function integer(number)
  return string.format('%.0f', number)
end

-- For how long a stream stays known that holds no event any more, or never did (ms).
local REST = 3600000

-- UNTIL of a stream whose last entry stays whatever the limits say.
local FOREVER = 1e15

-- What stays of an epoch as long as the stream is not dropped.
local function incarnation(epoch)
  return string.match(epoch, '^[^-]+')
end

-- The server's time in microseconds.
local function microseconds()
  local clock = redis.call('TIME')
  return clock[1] * 1000000 + clock[2]
end

-- A run as scripts are given it: `?` stands for that of this server, which a shard of a cluster tells by itself.
local function runOf(run)
  return run == '?' and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or run
end

local function standing(room, channel)
  local text = redis.call('HGET', room, channel)
  if not text then
    return nil
  end
  local sequence, epoch, size, ttl, due, finish, floor, till, id, run =
    string.match(text, '^(%d+) (%S+) (%d+) (%d+) (%d+) ?(%d*) ?(%d*) ?(%d*) ?(%S*) ?(%S*)$')
  return {
    room = room,
    channel = channel,
    sequence = tonumber(sequence),
    epoch = epoch,
    size = size,
    ttl = tonumber(ttl),
    due = tonumber(due),
    finish = tonumber(finish) or 0,
    floor = tonumber(floor) or 0,
    till = tonumber(till) or 0,
    id = id,
    run = run,
    changed = false,
  }
end

-- Writes down where a stream stands.
local function note(at)
  local text = at.sequence .. ' ' .. at.epoch .. ' ' .. at.size .. ' ' .. at.ttl .. ' ' .. at.due
  text = text .. ' ' .. at.finish .. ' ' .. at.floor .. ' ' .. integer(at.till) .. ' ' .. at.id .. ' ' .. at.run
  redis.call('HSET', at.room, at.channel, text)
end

-- Whether a stream holds nothing although its last event has most of its life before it: its key was evicted or deleted.
local function isLost(stream, at, now)
  -- UNTIL may be as much as a minute later than the last event makes it.
  local isAlive = at.sequence > 0 and at.size ~= '0' and at.till - REST - 60000 > now
  return isAlive and redis.call('EXISTS', stream) == 0
end

-- Gives a stream a new epoch when its events were lost, and in another run of the server, which may have lost its end: no
-- sequence is to mean two events, and whoever comes back is to be told. It keeps what history it has and its incarnation,
-- by which ids are remembered. Answers whether anything changed.
local function follow(stream, at, run, fresh, now)
  local isOther = run ~= '' and at.run ~= run
  local lost = isLost(stream, at, now)
  if lost then
    -- From now on it rests, like any stream that holds nothing.
    at.till = now + REST
  end
  if lost or (isOther and at.run ~= '' and at.sequence > 0) then
    at.epoch = incarnation(at.epoch) .. '-' .. string.sub(fresh, 1, 8)
  elseif not isOther then
    return false
  end
  if isOther then
    at.run = run
  end
  return true
end

local function sequenceOf(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end

local function orderOf(entry)
  return tonumber(string.match(entry[1], '%d+$'))
end

local function startOf(entry)
  return tonumber(entry[2][4]) or 0
end

-- Forgets the entries from the oldest on for which `isOver` holds; all later ones are spared once it does not. Answers the
-- first sequence that is kept, `last + 1` when none is, and its entry. Looks at few entries, however many go: ever
-- further ahead until one is kept, then by halves.
local function cut(stream, last, isOver)
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not first then
    return last + 1, nil
  end
  if not isOver(first) then
    return sequenceOf(first), first
  end
  local low, high, kept, step = sequenceOf(first), last + 1, nil, 1
  while high - low > 1 do
    local probe = kept and math.floor((low + high) / 2) or math.min(low + step, high - 1)
    local entry = redis.call('XRANGE', stream, integer(probe), '+', 'COUNT', 1)[1]
    if entry and not isOver(entry) then
      high, kept = probe, entry
    else
      low, step = probe, step * 2
    end
  end
  redis.call('XTRIM', stream, 'MINID', integer(high))
  return high, kept
end

-- The highest sequence that limits may take of a stream whose last is `last`.
local function highest(at, last)
  return at.till >= FOREVER and last - 1 or last
end

-- Forgets what has been kept for the stream's time to live. Answers the first sequence that is kept.
local function expire(stream, at, last, instant)
  local cutoff, limit = instant - at.ttl * 1000, highest(at, last)
  local first = cut(stream, last, function(entry)
    return orderOf(entry) <= cutoff and sequenceOf(entry) <= limit
  end)
  return first
end

-- Forgets what is more than so many bytes (-1: any number may stay).
local function bound(stream, at, most)
  if most < 0 or at.finish - at.floor <= most then
    return
  end
  local limit = highest(at, at.sequence)
  local _, kept = cut(stream, at.sequence, function(entry)
    return startOf(entry) < at.finish - most and sequenceOf(entry) <= limit
  end)
  at.floor = kept and startOf(kept) or at.finish
end

-- Has the server forget a stream's key a while after its entries have grown too old; answers that while (ms).
local function endure(stream, at)
  local pause = math.min(at.ttl / 8, 60000)
  if at.till >= FOREVER then
    redis.call('PERSIST', stream)
  else
    redis.call('PEXPIRE', stream, integer(at.ttl + 2 * pause))
  end
  return pause
end
