-- One update of one of 1,000 processes per request.
local n = 0
-- The argument is the round: the work goes on from the one before.
function init(arguments)
  n = 1000000 * tonumber(arguments[1] or 0)
end
local headers = {["Content-Type"] = "application/json"}
function request()
  n = n + 1
  return wrk.format("PATCH", "/api/processes/p" .. (n % 1000), headers, '{"progress": {"current": ' .. n .. '}}')
end
