-- One new process per request; with an argument each has an id of its own, which makes the call repeatable.
local n, prefix = 0, nil
local headers = {["Content-Type"] = "application/json"}
function init(arguments)
  prefix = arguments[1]
end
function request()
  n = n + 1
  local id = prefix and ('"id":"' .. prefix .. n .. '",') or ""
  local body = '{' .. id .. '"name":"job ' .. (n % 50) .. '","type":"task","project":"shop","progress":{"total":100,"unit":"files"}}'
  return wrk.format("POST", "/api/processes", headers, body)
end
