-- Where a stream stands, opening it if it never was. It stays known for a while after that.
--
-- KEYS   stream, its room's hash
-- ARGV   1 channel, 2 a fresh epoch
--        3 run of the server (as in publish.lua)
--        4 1 to open the stream and to have it stay for longer, 0 only to look
-- Answer {sequence, epoch, oldest sequence that is kept}, or nothing when there is no such stream

local channel, fresh, run, opens = ARGV[1], ARGV[2], runOf(ARGV[3]), ARGV[4] == '1'
local instant = microseconds()
-- A minute more than is promised, so that those who ask often are not written down each time.
local till = math.floor(instant / 1000) + REST + 60000
local at = standing(KEYS[2], channel)
if not at then
  if not opens then
    return {}
  end
  redis.call('DEL', KEYS[1])
  at = { room = KEYS[2], channel = channel, sequence = 0, epoch = fresh, size = '0', ttl = 0, due = 0 }
  at.finish, at.floor, at.till, at.id, at.run = 0, 0, till, '', run
  note(at)
  return { '0', fresh, '1' }
end
local changed = follow(KEYS[1], at, run, fresh, math.floor(instant / 1000))
if opens and at.till > 0 and at.till < till - 60000 then
  at.till, changed = till, true
end
if changed then
  note(at)
end
return { integer(at.sequence), at.epoch, integer(expire(KEYS[1], at, at.sequence, instant)) }
