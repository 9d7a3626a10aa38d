-- Runs `step` for each of KEYS, with its share of ARGV. The reply has one for each, in their order.
local share = #ARGV / #KEYS
local replies = {}
for at, key in ipairs(KEYS) do
  -- An error belongs to its own step: the other steps are still run.
  local done, reply = pcall(step, { key }, { unpack(ARGV, (at - 1) * share + 1, at * share) })
  if not done then
    -- Redis 7 raises a table, Redis 6 a string.
    local why = type(reply) == 'table' and reply.err or tostring(reply)
    -- Applies to all steps: a read-only server has run none. The client looks for its master if the call itself reports
    -- it.
    local read_only = string.match(why, 'READONLY.*')
    if read_only then return { err = read_only } end
    reply = { err = why }
  end
  replies[at] = reply
end
return replies
