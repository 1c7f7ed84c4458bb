-- Deletes a key.
--
-- KEYS   as in keys.lua
-- ARGV   1–3 as in keys.lua, 4 key, 5 `NAMESPACE\nKEY`, 6 version that it must have (-1: any)
-- Answer {1 when there was one, else 0} or {'conflict', version}

local key, member, expected = ARGV[4], ARGV[5], tonumber(ARGV[6])
local held = current(KEYS[4], key, member)
if expected >= 0 and expected ~= (held and tonumber(held.version) or 0) then
  return { 'conflict', held and held.version or 0 }
end
if not held then
  return { 0 }
end
remove('delete', KEYS[4], key, member, held)
return { 1 }
