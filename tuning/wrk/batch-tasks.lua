-- Batches of tasks: one request, one acknowledgement for all of them.
--   wrk -t2 -c8 -d30s --latency -s tuning/wrk/batch-tasks.lua http://127.0.0.1:8080
-- BATCH (1000), TASK_TYPE and PRIORITY in the environment choose what is submitted.

local size = tonumber(os.getenv("BATCH") or "1000")
local task_type = os.getenv("TASK_TYPE") or "LOAD_TEST"
local priority = os.getenv("PRIORITY") or "MEDIUM"
local payload = string.rep("x", 100)

-- One body for all requests: making it anew would measure this script.
local items = {}
for n = 1, size do
  items[n] = string.format(
    '{"taskName":"wrk-batch-%d","taskType":"%s","priority":"%s","payload":"%s"}',
    n, task_type, priority, payload)
end

wrk.method = "POST"
wrk.path = "/api/v1/tasks/batch"
wrk.headers["Content-Type"] = "application/json"
wrk.body = "[" .. table.concat(items, ",") .. "]"

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "tasks/s: %.0f   p50 %.2f ms   p99 %.2f ms   refused %d   broken %d\n",
    (summary.requests - errors.status) * size / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
