-- Gives a stream whose end was lost a new epoch, so that no sequence means two events. It keeps what history it has and
-- its incarnation, the part of an epoch before `-`, by which ids are remembered. Does nothing when another node was
-- first.
--
-- KEYS   the room's hash
-- ARGV   channel, the epoch that is no longer true, the rest of the new one, run of the server (as in publish.lua)
-- Answer {sequence, epoch}, or nothing when there is no such stream

local at = standing(KEYS[1], ARGV[1])
if not at then
  return {}
end
if at.epoch == ARGV[2] then
  at.epoch = incarnation(at.epoch) .. '-' .. ARGV[3]
  at.run = runOf(ARGV[4])
  note(at)
end
return { integer(at.sequence), at.epoch }
