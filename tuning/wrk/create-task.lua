-- One submit a request: what the goal for single submits is measured with.
--   wrk -t2 -c100 -d30s --latency -s tuning/wrk/create-task.lua http://127.0.0.1:8080
-- TASK_TYPE and PRIORITY in the environment choose what is submitted (LOAD_TEST, MEDIUM).

local task_type = os.getenv("TASK_TYPE") or "LOAD_TEST"
local priority = os.getenv("PRIORITY") or "MEDIUM"
-- 100 bytes, the size that the figures in the README are for.
local payload = string.rep("x", 100)

local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local sent = 0
wrk.method = "POST"
wrk.path = "/api/v1/tasks"
wrk.headers["Content-Type"] = "application/json"

function request()
  sent = sent + 1
  return wrk.format(nil, nil, nil, string.format(
    '{"taskName":"wrk-%d-%d","taskType":"%s","priority":"%s","payload":"%s"}',
    number, sent, task_type, priority, payload))
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "submits/s: %.0f   p50 %.2f ms   p99 %.2f ms   refused %d   broken %d\n",
    (summary.requests - errors.status) / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
