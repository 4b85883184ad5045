-- What wrk sends: whole requests that were rendered beforehand, in turn. So a request costs the generator an index.
--
--   wrk -s calls.lua URL -- REQUESTS [DELAY_MS]
--
-- REQUESTS holds for each request a line with its length in bytes, then its bytes. With DELAY_MS a connection waits
-- before each request, evenly spread from nothing to twice that, so that so many connections make a rate.

local requests = {}
local last = 0

function init(args)
    local file = assert(io.open(args[1], "rb"))
    for line in file:lines() do
        requests[#requests + 1] = file:read(tonumber(line))
    end
    file:close()
    local mean = tonumber(args[2] or "0")
    if mean > 0 then
        math.randomseed(os.time())
        delay = function()
            return math.floor(math.random() * 2 * mean + 0.5)
        end
    end
end

function request()
    last = last % #requests + 1
    return requests[last]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'result {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,'
            .. '"connect_errors":%d,"read_errors":%d,"write_errors":%d,"status_errors":%d,"timeouts":%d}\n',
        summary.requests, summary.duration, summary.bytes,
        latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
