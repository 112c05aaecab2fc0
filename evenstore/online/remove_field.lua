-- Removes one field from hashes, each only where its value is the one that was seen.
--
-- KEYS: one hash each. ARGV: the field, then per hash: the value. Returns one character per hash: 1 removed, 0
-- left as it is.

local outcome = {}
for i = 1, #KEYS do
  outcome[i] = '0'
  if redis.call('HGET', KEYS[i], ARGV[1]) == ARGV[1 + i] then
    redis.call('HDEL', KEYS[i], ARGV[1])
    outcome[i] = '1'
  end
end
return table.concat(outcome)
