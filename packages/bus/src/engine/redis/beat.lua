-- Notes that a node lives, and reads the others.
--
-- KEYS   the hash of nodes: node → `MILLISECONDS STATUS`, by the server's clock
-- ARGV   node, its status (JSON; empty: only read), milliseconds after which a node counts as dead
-- Answer {1 when the node was not there or dead, {node, status, …} of those alive, {node, …} of those dead}

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local all, absent, alive, dead = redis.call('HGETALL', KEYS[1]), 1, {}, {}
for i = 1, #all, 2 do
  local at, status = string.match(all[i + 1], '^(%d+) (.*)$')
  local living = now - tonumber(at) < tonumber(ARGV[3])
  if all[i] == ARGV[1] then
    if living then
      absent = 0
    end
  elseif living then
    alive[#alive + 1] = all[i]
    alive[#alive + 1] = status
  else
    dead[#dead + 1] = all[i]
  end
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
end
return { absent, alive, dead }
