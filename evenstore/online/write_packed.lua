-- Writes rows of one view to entities of the packed layout (evenstore/codec/packed_row.py), each only where it
-- is greater in the total order than what is stored. Redis runs a script to its end before anything else: the
-- check and the write of a row are one step.
--
-- KEYS: one string per row (a key may occur twice). ARGV: the view's four bytes, n, then per row: the row and,
-- where n is 2, the instant at which it may go (milliseconds). Returns one character per row: 1 written,
-- 0 superseded; or an error at a stored entity that cannot be read: then nothing of the call is written.

local view = ARGV[1]
local per_row = tonumber(ARGV[2])
local byte, sub = string.byte, string.sub
local EXPIRES = 16

-- Where the length of a slot's row ends, and the length. `at` is the length's first byte.
local function read_length(value, at)
  local length = byte(value, at)  -- nil behind the end
  if length == 254 then
    local low, high = byte(value, at + 1, at + 2)
    return low + 256 * high, at + 3
  elseif length == 255 then
    local a, b, c, d = byte(value, at + 1, at + 4)
    return a + 256 * (b + 256 * (c + 256 * d)), at + 5
  end
  return length, at + 1
end

local function slot(row)
  local length = #row
  local prefix
  if length < 254 then
    prefix = string.char(length)
  elseif length < 65536 then
    prefix = string.char(254, length % 256, math.floor(length / 256))
  else
    prefix = '\255' .. struct.pack('<I4', length)
  end
  return view .. prefix .. row
end

-- The bytes that order a row: three sortable integers, whose first four bits tell their length.
local function order_length(row)
  local at = 1
  for _ = 1, 3 do
    local first = byte(row, at)
    if first == 0 then
      at = at + 1
    else
      local kind = math.floor(first / 16)
      at = at + (kind >= 8 and kind - 7 or 8 - kind)
    end
  end
  return at - 1
end

-- Compared as numbers: Lua compares strings by the server's locale (strcoll), which is not byte order.
local PAD = string.rep('\0', 24)
local function is_greater(row, stored)
  local order = sub(row, 1, order_length(row))
  local stored_order = sub(stored, 1, order_length(stored))
  if order == stored_order then return false end
  local a1, a2, a3, a4, a5, a6 = struct.unpack('>I4I4I4I4I4I4', order .. PAD)
  local b1, b2, b3, b4, b5, b6 = struct.unpack('>I4I4I4I4I4I4', stored_order .. PAD)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  if a3 ~= b3 then return a3 > b3 end
  if a4 ~= b4 then return a4 > b4 end
  if a5 ~= b5 then return a5 > b5 end
  return a6 > b6
end

-- The entity with the row in its slot; nil where the stored row is equal or greater; or an error.
local function put(value, row)
  if byte(value, 1) ~= 1 then
    return nil, 'ROWVERSION a stored entity has an unknown format version'
  end
  local at, size = 2, #value
  while at <= size do
    local length, start = read_length(value, at + 4)
    local behind = start + (length or size)
    if behind > size + 1 then
      return nil, 'ROWCORRUPT a stored entity ends within a row'
    end
    if sub(value, at, at + 3) == view then
      local stored = sub(value, start, behind - 1)
      if not is_greater(row, stored) then return nil end
      return sub(value, 1, at - 1) .. slot(row) .. sub(value, behind)
    end
    at = behind
  end
  return value .. slot(row)
end

-- Whether every row of an entity expires, and how many there are.
local function all_expire(value)
  local at, size, n, all = 2, #value, 0, true
  while at <= size do
    local length, start = read_length(value, at + 4)
    local row = sub(value, start, start + length - 1)
    local flags = byte(row, order_length(row) + 1)
    all = all and flags % (2 * EXPIRES) >= EXPIRES
    n, at = n + 1, start + length
  end
  return all, n
end

local stored = redis.call('MGET', unpack(KEYS))
local values, outcome, expiries = {}, {}, {}
for i = 1, #KEYS do
  local key, row = KEYS[i], ARGV[3 + (i - 1) * per_row]
  local value = values[key] or stored[i]
  local written, fault
  if value then
    written, fault = put(value, row)
    if fault then return redis.error_reply(fault) end
  else
    written = '\1' .. slot(row)
  end
  if written then
    values[key] = written
    outcome[i] = '1'
    if per_row == 2 then
      expiries[key] = math.max(expiries[key] or 0, tonumber(ARGV[4 + (i - 1) * per_row]))
    end
  else
    outcome[i] = '0'
  end
end

-- Writing drops the key's own expiry, so the old one is asked for before. The time is asked for after it: the
-- sum is never earlier than what it was.
for key, at_ms in pairs(expiries) do
  local left_ms = redis.call('PTTL', key)
  local now = redis.call('TIME')
  local all, n = all_expire(values[key])
  if left_ms >= 0 then
    local old_ms = tonumber(now[1]) * 1000 + math.ceil(tonumber(now[2]) / 1000) + left_ms
    expiries[key] = math.max(at_ms, old_ms)
  elseif left_ms == -1 and n > 1 then
    -- A row that did not expire kept the entity: when the others may go is not known any more.
    expiries[key] = nil
  end
  -- The entity stays as long as any row of it that does not expire.
  if not all then expiries[key] = nil end
end
local pairs_to_set = {}
for key, value in pairs(values) do
  pairs_to_set[#pairs_to_set + 1] = key
  pairs_to_set[#pairs_to_set + 1] = value
end
if #pairs_to_set > 0 then redis.call('MSET', unpack(pairs_to_set)) end
for key, at_ms in pairs(expiries) do redis.call('PEXPIREAT', key, string.format('%.0f', at_ms)) end
return table.concat(outcome)
