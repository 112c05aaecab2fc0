-- Replaces or removes rows of one view in entities of the packed layout (evenstore/codec/packed_row.py). The
-- entity keeps its expiry, and goes with its last row.
--
-- KEYS: one string per row. ARGV: the view's four bytes, then per row: the row that must be there still (empty:
-- whatever is there), and what takes its place (empty: nothing). Returns one character per row: 1 edited, 0 left
-- as it is; or an error at a stored entity that cannot be read: entities before it are edited, the rest not.

local view = ARGV[1]
local byte, sub = string.byte, string.sub

-- Where the length of a slot's row ends, and the length. `at` is the length's first byte.
local function read_length(value, at)
  local length = byte(value, at)  -- nil behind the end
  if length == 254 then
    local low, high = byte(value, at + 1, at + 2)
    return high and low + 256 * high, at + 3
  elseif length == 255 then
    local a, b, c, d = byte(value, at + 1, at + 4)
    return d and a + 256 * (b + 256 * (c + 256 * d)), at + 5
  end
  return length, at + 1
end

local function slot(row)
  local length = #row
  if length == 0 then return '' end
  if length < 254 then return view .. string.char(length) .. row end
  if length < 65536 then return view .. string.char(254, length % 256, math.floor(length / 256)) .. row end
  return view .. '\255' .. struct.pack('<I4', length) .. row
end

-- Where the view's slot starts, where its row starts, and what is behind it; nothing where it has none; or an
-- error.
local function find(value)
  if byte(value, 1) ~= 1 then return nil, 'ROWVERSION a stored entity has an unknown format version' end
  local at, size = 2, #value
  while at <= size do
    local length, start = read_length(value, at + 4)
    local behind = start + (length or size)
    if behind > size + 1 then return nil, 'ROWCORRUPT a stored entity ends within a row' end
    if sub(value, at, at + 3) == view then return at, nil, start, behind end
    at = behind
  end
end

local outcome = {}
for i = 1, #KEYS do
  local key, seen, replacement = KEYS[i], ARGV[2 * i], ARGV[2 * i + 1]
  local value = redis.call('GET', key)
  outcome[i] = '0'
  if value then
    local at, fault, start, behind = find(value)
    if fault then return redis.error_reply(fault) end
    if at and (seen == '' or sub(value, start, behind - 1) == seen) then
      local edited = sub(value, 1, at - 1) .. slot(replacement) .. sub(value, behind)
      if #edited == 1 then
        redis.call('DEL', key)
      else
        redis.call('SET', key, edited, 'KEEPTTL')
      end
      outcome[i] = '1'
    end
  end
end
return table.concat(outcome)
