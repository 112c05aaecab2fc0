-- Removes rows of one view from hashes of the `feast` layout (evenstore/codec/feast_row.py), each only where its
-- order is the one that was seen. A row that stock Feast wrote meanwhile is out of step with it, and stays.
--
-- KEYS: one hash per row. ARGV: n, the view's n fields (`_ts:` and `_order:` first), then per row: the `_order:`
-- value that must be there still. Returns one character per row: 1 removed, 0 left as it is.

local n = tonumber(ARGV[1])
local FIELDS_PER_CALL = 1000  -- unpack() spills the Lua stack at some 8000 values.

local outcome = {}
for i = 1, #KEYS do
  local key, seen = KEYS[i], ARGV[1 + n + i]
  local stored = redis.call('HMGET', key, ARGV[2], ARGV[3])
  outcome[i] = '0'
  if stored[2] == seen and (not stored[1] or stored[1] == string.sub(seen, 27)) then
    for start = 2, n + 1, FIELDS_PER_CALL do
      redis.call('HDEL', key, unpack(ARGV, start, math.min(start + FIELDS_PER_CALL - 1, n + 1)))
    end
    outcome[i] = '1'
  end
end
return table.concat(outcome)
