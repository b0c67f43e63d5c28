-- 100 updates per request as the SDK sends them, of 20 times 100 processes in turn: fewer connections than that keep `seq` in order.
-- The argument is the round: `seq` goes on from the one before, or all would be repeats, which cost next to nothing.
local n = 0
function init(arguments)
  n = 1000000 * tonumber(arguments[1] or 0)
end
local headers = {["Content-Type"] = "application/json"}
local items = {}
function request()
  n = n + 1
  local first = (n % 20) * 100
  for i = 1, 100 do
    items[i] = '{"id":"p' .. (first + i - 1) .. '","seq":' .. n .. ',"age":0.05,"progress":{"current":' .. n .. '}}'
  end
  return wrk.format("POST", "/api/processes/batch", headers, '{"items":[' .. table.concat(items, ",") .. ']}')
end
