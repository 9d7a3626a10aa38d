-- lock-free: removes only the locks that the nonces hold. Needs no marker.
--
-- ARGV
--   1 prefix  what the name of each lock begins with
--   2 steps   a line for each: the nonce, a space, the id
-- Reply
--   how many were there.

local function free(nonce, key)
  if redis.call('GET', key) ~= nonce then return 0 end
  return redis.call('DEL', key)
end

local freed = 0
for nonce, id in string.gmatch(ARGV[2], '(%S+) (%S+)\n') do
  -- An error is that of its step: the others are still freed.
  local done, reply = pcall(free, nonce, ARGV[1] .. id)
  if done then freed = freed + reply end
end
return freed
