-- Where a stream stands, opening it if it never was. It stays known for a while after that. Without a fresh epoch nothing
-- is opened, and nothing stays for longer.
--
-- KEYS   stream, its room's hash
-- ARGV   channel, fresh epoch (or empty)
-- Answer {sequence, epoch, oldest sequence that is kept}, or nothing when there is no such stream

local instant = microseconds()
-- A minute more than is promised, so that those who ask often are not written down each time.
local till = math.floor(instant / 1000) + REST + 60000
local at = standing(KEYS[2], ARGV[1])
if not at then
  if ARGV[2] == '' then
    return {}
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], ARGV[1], '0 ' .. ARGV[2] .. ' 0 0 0 0 0 ' .. integer(till) .. ' ')
  return { '0', ARGV[2], '1' }
end
if ARGV[2] ~= '' and at.till > 0 and at.till < till - 60000 then
  at.till = till
  note(at)
end
return { integer(at.sequence), at.epoch, integer(expire(KEYS[1], at, at.sequence, instant)) }
