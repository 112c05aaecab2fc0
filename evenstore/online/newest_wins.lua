-- Writes rows of one view to hashes of the `feast` layout, each only where it is greater in the total
-- order than what is stored. Redis runs a script to its end before anything else: the check and the
-- write of a row are one step.
--
-- KEYS: one hash per row (a key may occur twice). ARGV: _ts field, _order field, n, n feature fields, then per
-- row: _ts value, _order value, n feature values. Returns one character per row: 1 written, 0 superseded; or
-- an error at the first row whose stored order cannot be read: rows before it are written, it and the rest not.

local ts_field, order_field, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local HSET_LIMIT = 3000  -- unpack() spills the Lua stack at some 8000 values.

-- Seconds and nanoseconds of a protobuf Timestamp; both fit a double exactly.
local function decode_timestamp(bytes)
  local parts = {[8] = 0, [16] = 0}
  local i = 1
  while i <= #bytes do
    local tag = string.byte(bytes, i)
    local low, high, shift = 0, 0, 0
    repeat
      i = i + 1
      local byte = string.byte(bytes, i)
      if not byte then error('stored _ts is cut short') end
      local seven = byte % 128
      if shift < 28 then
        low = low + seven * 2 ^ shift
      elseif shift == 28 then
        low = low + (seven % 16) * 2 ^ 28
        high = high + math.floor(seven / 16)
      else
        high = high + seven * 2 ^ (shift - 32)
      end
      shift = shift + 7
    until byte < 128
    high = high % 2 ^ 32
    if high >= 2 ^ 31 then high = high - 2 ^ 32 end
    parts[tag] = high * 2 ^ 32 + low
    i = i + 1
  end
  return parts[8], parts[16]
end

-- Compared as numbers: Lua compares strings by the server's locale (strcoll), which is not byte order.
local function is_greater(order, stored)
  local a = {struct.unpack('>I4I4I4I4I4I4', order, 3)}
  local b = {struct.unpack('>I4I4I4I4I4I4', stored, 3)}
  for word = 1, 6 do
    if a[word] ~= b[word] then return a[word] > b[word] end
  end
  return false
end

-- Why a stored order cannot be compared, or nil. A later version may keep its event timestamp elsewhere, so
-- the version counts before anything else in the field.
local function find_fault(stored_order)
  if not stored_order then return nil end
  if string.byte(stored_order, 1) ~= 1 then
    return 'ORDERVERSION a stored row has an order field of an unknown format version'
  end
  if #stored_order < 26 then return 'ORDERCORRUPT a stored row has an order field cut short' end
  return nil
end

local function wins(timestamp, order, stored_timestamp, stored_order)
  if not stored_timestamp then return true end
  if stored_order and string.sub(stored_order, 27) == stored_timestamp then
    return is_greater(order, stored_order)
  end
  -- Stock Feast wrote this row: created null, sequence 0, so at an equal instant ours is greater.
  local seconds, nanos = decode_timestamp(timestamp)
  local stored_seconds, stored_nanos = decode_timestamp(stored_timestamp)
  if seconds ~= stored_seconds then return seconds > stored_seconds end
  return nanos >= stored_nanos
end

local outcome = {}
local at = 3 + n
for row = 1, #KEYS do
  local key, timestamp, order = KEYS[row], ARGV[at + 1], ARGV[at + 2]
  local stored = redis.call('HMGET', key, ts_field, order_field)
  local fault = find_fault(stored[2])
  if fault then return redis.error_reply(fault) end
  if wins(timestamp, order, stored[1], stored[2]) then
    local fields = {ts_field, timestamp, order_field, order}
    for i = 1, n do
      fields[#fields + 1] = ARGV[3 + i]
      fields[#fields + 1] = ARGV[at + 2 + i]
      if #fields >= HSET_LIMIT then
        redis.call('HSET', key, unpack(fields))
        fields = {}
      end
    end
    if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
    outcome[row] = '1'
  else
    outcome[row] = '0'
  end
  at = at + 2 + n
end
return table.concat(outcome)
