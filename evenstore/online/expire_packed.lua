-- Gives entities of the packed layout an expiry that they lack, each only where it is still what was seen.
--
-- KEYS: one string each. ARGV per key: its value, and the instant at which it may go (milliseconds). Returns one
-- character per key: 1 set, 0 left as it is.

local outcome = {}
for i = 1, #KEYS do
  outcome[i] = '0'
  if redis.call('GET', KEYS[i]) == ARGV[2 * i - 1] and redis.call('PTTL', KEYS[i]) == -1 then
    redis.call('PEXPIREAT', KEYS[i], ARGV[2 * i])
    outcome[i] = '1'
  end
end
return table.concat(outcome)
