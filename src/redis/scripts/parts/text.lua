-- A whole number as text: `%.0f`, for tostring has 14 digits and a fence 16, so that it makes a hundred microseconds of
-- fences alike. Most numbers of a call are the same in each of its steps.
local texts = {}
local function text(number)
  local known = texts[number]
  if not known then
    known = string.format('%.0f', number)
    texts[number] = known
  end
  return known
end
