-- This server's clock in microseconds: one time for everything that a call does.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
