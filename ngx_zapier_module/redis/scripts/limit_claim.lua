-- Claims units of a chain of scopes, of all or of none.  Redis' clock
-- decides for the whole fleet.
--
-- KEYS  the nodes that are alive, the scopes
-- ARGV  node, then for each scope a line of numbers: limit, window in ms,
--       units needed, units wanted, ms that a lease lasts, ms of slack,
--       units that the node itself knows to have spent in the window,
--       units that all who wait there need; for fair shares the weight of
--       the node's callers (0: none), units that they want, for how many ms
--
-- A scope is a list of stamp, units, node, ...: the units count until the
-- stamp is a window old.  Units that are used at once have now as their
-- stamp, those of a lease its end, so that none is counted too early; the
-- slack is for the time that calls travel.
--
-- With fair shares, a node that has had more than others for its weight
-- leaves them what they want.  Kept of each: weight, units wanted, until.
--
-- A server that has lost what was claimed, or was away, is told what the
-- node has spent, and counts that again.
--
-- Returns { 1 or 0: refused, then for each scope: units granted, units left,
-- ms until all is free, ms until what was needed is free, nodes, stamp,
-- ms of the lease (0: to be used at once) }

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node = ARGV[1]
local answer = { 1 }
local scopes = {}

redis.call('ZADD', KEYS[1], now, node)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
redis.call('PEXPIRE', KEYS[1], 60000)

local nodes = redis.call('ZCARD', KEYS[1])

local function add(scope, stamp, units)
    local list, bucket = scope.list, math.floor(stamp / scope.step)

    scope.used = scope.used + units
    scope.last = math.max(scope.last, stamp)

    for i = #list - 2, 1, -3 do
        if list[i + 2] == node and math.floor(list[i] / scope.step) == bucket
        then
            list[i] = math.max(list[i], stamp)
            list[i + 1] = list[i + 1] + units
            return list[i]
        end
    end

    list[#list + 1] = stamp
    list[#list + 1] = units
    list[#list + 1] = node

    return stamp
end

local function read(key, numbers)
    local scope = { list = {}, used = 0, last = now, by = {} }
    local text, old = redis.call('GET', key), {}
    local list, by = scope.list, scope.by
    local n, names = 0, { 'limit', 'window', 'need', 'want', 'lease', 'slack',
                          'own', 'crowd', 'weight', 'wants', 'time' }

    for number in string.gmatch(numbers, '%d+') do
        n = n + 1
        scope[names[n]] = tonumber(number)
    end

    if text then
        old, scope.shares = cmsgpack.unpack(text)
    end

    scope.step = scope.limit > 128 and math.ceil(scope.window / 128) or 1

    for i = 1, #old, 3 do
        if old[i] + scope.window > now and old[i + 1] > 0 then
            list[#list + 1] = old[i]
            list[#list + 1] = old[i + 1]
            list[#list + 1] = old[i + 2]

            scope.used = scope.used + old[i + 1]
            scope.last = math.max(scope.last, old[i])

            by[old[i + 2]] = (by[old[i + 2]] or 0) + old[i + 1]
        end
    end

    by[node] = by[node] or 0

    if scope.own > by[node] then
        add(scope, now + scope.slack, scope.own - by[node])
        by[node] = scope.own
    end

    if scope.weight > 0 then
        scope.shares = scope.shares or {}
        scope.shares[node] = { scope.weight, scope.wants, now + scope.time }
    end

    return scope
end

local function wait(scope)
    local list, ends = scope.list, {}
    local lacking = scope.used + scope.need - scope.limit

    if lacking <= 0 then
        return 0
    end

    for i = 1, #list, 3 do
        ends[#ends + 1] = { list[i], list[i + 1] }
    end

    table.sort(ends, function (a, b) return a[1] < b[1] end)

    for _, e in ipairs(ends) do
        lacking = lacking - e[2]

        if lacking <= 0 then
            return math.max(e[1] + scope.window - now, 1)
        end
    end

    return scope.window
end

-- Units that others want who have had less than this.

local function kept(scope, mine)
    local units = 0

    if scope.weight == 0 or mine == 0 then
        return 0
    end

    for other, share in pairs(scope.shares) do
        local weight, wants, till = unpack(share)

        if till + scope.window <= now then
            scope.shares[other] = nil

        elseif other ~= node and till > now and wants > 0 then
            local due = mine * weight / scope.weight
                        - (scope.by[other] or 0)

            units = units + math.max(math.min(due, wants), 0)
        end
    end

    return math.floor(units)
end

-- so many, or as many as leave others what they want

local function fair(scope, grant)
    local free = scope.limit - scope.used

    while grant > scope.need
          and grant + kept(scope, scope.by[node] + grant) > free
    do
        grant = math.max(scope.need, math.floor(grant / 2))
    end

    return grant
end

for i = 2, #KEYS do
    local scope = read(KEYS[i], ARGV[i])

    scopes[i] = scope
    scope.wait = wait(scope)
    scope.kept = kept(scope, scope.by[node])

    if scope.wait > 0 and scope.weight > 0 then
        local share = scope.shares[node]

        share[2] = math.max(share[2], scope.need)
        share[3] = math.max(share[3], now + scope.wait + 1000)
    end

    if scope.kept > 0
       and scope.limit - scope.used < scope.need + scope.kept
    then
        scope.wait = math.max(scope.wait, 100)
    end

    if scopes[i].wait > 0 then
        answer[1] = 0
    end
end

for i = 2, #KEYS do
    local scope = scopes[i]
    local free = scope.limit - scope.used
    local grant, stamp, lease = 0, 0, 0

    if answer[1] == 1 then
        grant, stamp = scope.need, now + scope.slack

        -- with little left every unit goes to who uses it at once

        if free * 10 > scope.limit then
            grant = fair(scope, math.max(grant, math.min(scope.want,
                                            math.floor(free / (4 * nodes)))))
        end

        if grant > scope.need then
            lease = scope.lease
            stamp = stamp + lease

        else
            grant = fair(scope, math.max(grant, math.min(scope.crowd, free)))
        end

        stamp = add(scope, stamp, grant)

        if scope.weight > 0 then
            local share = scope.shares[node]

            share[2] = math.max(share[2] - grant, 0)
        end
    end

    if #scope.list > 0 then
        redis.call('SET', KEYS[i], cmsgpack.pack(scope.list, scope.shares),
                   'PX', scope.last - now + scope.window + 1000)
    end

    for _, number in ipairs({ grant, math.max(scope.limit - scope.used, 0),
                              scope.last - now + scope.window, scope.wait,
                              nodes, stamp, lease }) do
        answer[#answer + 1] = number
    end
end

return answer
