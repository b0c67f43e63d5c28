-- One update of one of 1,000 processes per request.
local n = 0
local headers = {["Content-Type"] = "application/json"}
function request()
  n = n + 1
  return wrk.format("PATCH", "/api/processes/p" .. (n % 1000), headers, '{"progress": {"current": ' .. n .. '}}')
end
