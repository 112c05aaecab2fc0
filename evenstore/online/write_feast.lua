-- Writes rows of one view to hashes of the `feast` layout (evenstore/codec/feast_row.py), each only where it is
-- greater in the total order than what is stored. Redis runs a script to its end before anything else: the
-- check and the write of a row are one step.
--
-- KEYS: one hash per row (a key may occur twice). ARGV: _ts field, _order field, n, n feature fields, then per
-- row: _order value, and its n feature values, each behind its length (u32, little endian): Lua pays for every
-- argument. An _order value of origin 3 deletes the row and stays behind alone. Returns one character per row:
-- 1 written, 0 superseded; or an error at the first row whose stored order cannot be read: rows before it are
-- written, it and the rest not.

local ts_field, order_field, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local VALUES_PER_CALL = 1000  -- unpack() spills the Lua stack at some 8000 values.
local byte, sub = string.byte, string.sub
local DELETED = 3

-- Seconds and nanoseconds of a protobuf Timestamp; both fit a double exactly.
local function decode_timestamp(bytes)
  local parts = {[8] = 0, [16] = 0}
  local i = 1
  while i <= #bytes do
    local tag = byte(bytes, i)
    local low, high, shift = 0, 0, 0
    repeat
      i = i + 1
      local next_byte = byte(bytes, i)
      if not next_byte then error('stored _ts is cut short') end
      local seven = next_byte % 128
      if shift < 28 then
        low = low + seven * 2 ^ shift
      elseif shift == 28 then
        low = low + (seven % 16) * 2 ^ 28
        high = high + math.floor(seven / 16)
      else
        high = high + seven * 2 ^ (shift - 32)
      end
      shift = shift + 7
    until next_byte < 128
    high = high % 2 ^ 32
    if high >= 2 ^ 31 then high = high - 2 ^ 32 end
    parts[tag] = high * 2 ^ 32 + low
    i = i + 1
  end
  return parts[8], parts[16]
end

-- Compared as numbers: Lua compares strings by the server's locale (strcoll), which is not byte order.
local function is_greater(order, stored)
  if order == stored then return false end
  local a1, a2, a3, a4, a5, a6 = struct.unpack('>I4I4I4I4I4I4', order, 3)
  local b1, b2, b3, b4, b5, b6 = struct.unpack('>I4I4I4I4I4I4', stored, 3)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  if a3 ~= b3 then return a3 > b3 end
  if a4 ~= b4 then return a4 > b4 end
  if a5 ~= b5 then return a5 > b5 end
  return a6 > b6
end

-- Why a stored order cannot be compared, or nil. A later version may keep its event timestamp elsewhere, so
-- the version counts before anything else in the field.
local function find_fault(stored_order)
  if byte(stored_order, 1) ~= 1 then
    return 'ORDERVERSION a stored row has an order field of an unknown format version'
  end
  if #stored_order < 26 then return 'ORDERCORRUPT a stored row has an order field cut short' end
  return nil
end

local function wins(order, stored_timestamp, stored_order)
  if stored_order and byte(stored_order, 2) == DELETED then
    -- A deleted entity keeps its order, so that no older row brings it back.
    if not is_greater(order, stored_order) then return false end
    stored_order = nil
  end
  if not stored_timestamp then return true end
  if stored_order and sub(stored_order, 27) == stored_timestamp then return is_greater(order, stored_order) end
  -- Stock Feast wrote this row: created null, sequence 0, so at an equal instant ours is greater.
  local seconds, nanos = decode_timestamp(sub(order, 27))
  local stored_seconds, stored_nanos = decode_timestamp(stored_timestamp)
  if seconds ~= stored_seconds then return seconds > stored_seconds end
  return nanos >= stored_nanos
end

-- Fields and values of one HSET each; the values' places are filled anew for each row. The first also sets the
-- row's two own fields.
local commands = {}
for start = 1, n, VALUES_PER_CALL do
  local size = math.min(VALUES_PER_CALL, n - start + 1)
  local arguments = {}
  for i = 1, size do arguments[2 * i - 1] = ARGV[2 + start + i] end
  commands[#commands + 1] = {size = size, arguments = arguments, form = '<' .. string.rep('I4c0', size)}
end
if n == 0 then commands[1] = {size = 0, arguments = {}, form = '<'} end
local own = 2 * commands[1].size
commands[1].arguments[own + 1], commands[1].arguments[own + 3] = ts_field, order_field

local function set(key, order, values)
  local at = 1
  commands[1].arguments[own + 2], commands[1].arguments[own + 4] = sub(order, 27), order
  for i, command in ipairs(commands) do
    local arguments = command.arguments
    local found = {struct.unpack(command.form, values, at)}
    for j = 1, command.size do arguments[2 * j] = found[j] end
    at = found[command.size + 1]
    redis.call('HSET', key, unpack(arguments, 1, 2 * command.size + (i == 1 and 4 or 0)))
  end
end

local own_fields = {ts_field}
for i = 1, n do own_fields[i + 1] = ARGV[3 + i] end

local function delete(key, order)
  for start = 1, n + 1, VALUES_PER_CALL do
    redis.call('HDEL', key, unpack(own_fields, start, math.min(start + VALUES_PER_CALL - 1, n + 1)))
  end
  redis.call('HSET', key, order_field, order)
end

local outcome = {}
for row = 1, #KEYS do
  local key, order = KEYS[row], ARGV[2 + n + 2 * row]
  local stored = redis.call('HMGET', key, ts_field, order_field)
  local fault = stored[2] and find_fault(stored[2])
  if fault then return redis.error_reply(fault) end
  if wins(order, stored[1], stored[2]) then
    if byte(order, 2) == DELETED then
      delete(key, order)
    else
      set(key, order, ARGV[3 + n + 2 * row])
    -- Stock's `key_ttl_seconds` lets a whole key expire; the watermark would say that the row is there.
    if not stored[2] then redis.call('PERSIST', key) end
    end
    outcome[row] = '1'
  else
    outcome[row] = '0'
  end
end
return table.concat(outcome)
