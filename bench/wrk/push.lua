-- What replaces an update at a Pushgateway: the figures of one of 1,000 groups.
local n = 0
local headers = {["Content-Type"] = "text/plain"}
function request()
  n = n + 1
  local body = "progress_ratio 0.5\nitems_done " .. n .. "\nitems_expected 1000000000\n"
  return wrk.format("PUT", "/metrics/job/bench/instance/p" .. (n % 1000), headers, body)
end
