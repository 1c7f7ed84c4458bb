-- Has a stream keep by another measure.
--
-- KEYS   stream, its room's hash
-- ARGV   1 channel, 2 a fresh epoch, 3 run of the server (as in publish.lua)
--        4–7 size, ttl (ms), bytes (-1: any number), 1 to keep the last event whatever those say, else 0
-- Answer 1 when there is such a stream, else 0

local stream, channel, fresh, run = KEYS[1], ARGV[1], ARGV[2], runOf(ARGV[3])
local size, ttl, most, keeps = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local at = standing(KEYS[2], channel)
if not at then
  return 0
end
local instant = microseconds()
local now = math.floor(instant / 1000)
follow(stream, at, run, fresh, now)
-- What the old measure let go of stays gone.
expire(stream, at, at.sequence, instant)
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
keeps = keeps and last ~= nil and sequenceOf(last) == at.sequence

at.size, at.ttl, at.due = size, ttl, 0
at.till = keeps and FOREVER or now + (size == '0' and 0 or ttl) + REST
if size == '0' then
  redis.call('DEL', stream)
  at.floor = at.finish
elseif last then
  redis.call('XTRIM', stream, 'MAXLEN', '=', size)
  expire(stream, at, at.sequence, instant)
  bound(stream, at, most)
  endure(stream, at)
end
note(at)
return 1
