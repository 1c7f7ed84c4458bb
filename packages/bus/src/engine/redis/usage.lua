-- What streams of one room keep.
--
-- KEYS   the room's hash, then the streams
-- ARGV   the channel of each stream
-- Answer for each stream {last sequence, events, bytes of envelopes}; zeros of one that is not there

local instant = microseconds()
local answers = {}
for i, channel in ipairs(ARGV) do
  local stream, at = KEYS[i + 1], standing(KEYS[1], channel)
  if at then
    expire(stream, at, at.sequence, instant)
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    answers[i] = { at.sequence, redis.call('XLEN', stream), first and at.finish - startOf(first) or 0 }
  else
    answers[i] = { 0, 0, 0 }
  end
end
return answers
