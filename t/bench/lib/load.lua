-- wrk script: METHOD PATH BODYFILE|- TENANTS [ORDER]
--
-- TENANTS is the name of one, for whom the request is built once, or a
-- number.  ORDER "random" spreads the requests over so many; "each" sends
-- one for every tenant and stops.

local tenants, head, tail, last, done_count


local function read(name)
    local file = assert(io.open(name, "rb"))
    local data = file:read("*a")
    file:close()
    return data
end


local function spread_random()
    last = (last * 16807) % 2147483647
    return head .. string.format("t%07d", last % tenants) .. tail
end


local function spread_each()
    last = last + 1
    return head .. string.format("t%07d", (last - 1) % tenants) .. tail
end


local function count(status)
    assert(status < 400)
    done_count = done_count + 1

    -- wrk itself would sleep until its time is over
    if done_count == tenants then
        io.write("bench requests=", tenants, " status=0 socket=0\n")
        io.flush()
        os.exit(0)
    end
end


function init(args)
    local text, from, to

    wrk.method, wrk.path = args[1], args[2]
    tenants = tonumber(args[4])
    wrk.headers["X-Tenant"] = tenants and "t0000000" or args[4]

    if args[3] ~= "-" then
        wrk.headers["Content-Type"] = "application/json"
        wrk.body = read(args[3])
    end

    if not tenants then
        return
    end

    text = wrk.format()
    from, to = text:find("t0000000", 1, true)
    head, tail = text:sub(1, from - 1), text:sub(to + 1)
    done_count = 0

    if args[5] == "each" then
        last, request, response = 0, spread_each, count
    else
        last, request = 48271, spread_random
    end
end


function done(summary, latency)
    io.write(string.format("bench requests=%d usec=%d status=%d socket=%d "
                           .. "p50=%d p99=%d\n",
                           summary.requests, summary.duration,
                           summary.errors.status,
                           summary.errors.connect + summary.errors.read
                           + summary.errors.write + summary.errors.timeout,
                           latency:percentile(50), latency:percentile(99)))
end
