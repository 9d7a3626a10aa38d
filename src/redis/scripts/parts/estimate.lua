-- The next mean and deviation of rebuild times, by the estimator of record.ts. The first rebuild is the mean, and half
-- of it the deviation.
local function estimate(mean, deviation, took)
  if not mean then return string.format('%.0f', took), string.format('%.0f', took / 2) end
  local off = took - tonumber(mean)
  local strays = math.abs(off) - tonumber(deviation)
  return string.format('%.0f', tonumber(mean) + off / 8), string.format('%.0f', tonumber(deviation) + strays / 4)
end
