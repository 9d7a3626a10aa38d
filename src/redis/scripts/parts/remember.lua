-- The line of a lease that has ended. A plain holder has the same text in the lease's JSON and in this line, so it is
-- copied. Decoding and encoding it costs several times as much.
local function past_line(fence, armed_at, ended_at, how, lease, failure)
  local held_us, at = text(ended_at - armed_at), text(ended_at)
  local holder = failure == '' and string.match(lease, '^{"leaseMs":[%d.]+,"holder":("[^"\\]*")')
  if holder then
    return '{"holder":' .. holder .. ',"fence":"' .. fence .. '","held_us":"' .. held_us .. '","ended_at":"' .. at
      .. '","end":"' .. how .. '","failure":""}'
  end
  return cjson.encode({ holder = cjson.decode(lease).holder, fence = fence, held_us = held_us, ended_at = at,
    ['end'] = how, failure = string.sub(failure, 1, 256) })
end

-- The lease that ends is remembered as a line of JSON, before those that ended earlier: as many as fit into 2,048 bytes.
local function past_with(line, past)
  if not past then return line end
  local lines = { line }
  local bytes = #line
  for line in string.gmatch(past, '[^\n]+') do
    bytes = bytes + #line + 1
    if #lines == 16 or bytes > 2048 then break end
    table.insert(lines, line)
  end
  return table.concat(lines, '\n')
end

local function remember(key, fence, armed_at, ended_at, how, lease, failure, past)
  local line = past_line(fence, armed_at, ended_at, how, lease, failure)
  redis.call('HSET', key, 'past', past_with(line, past))
end
