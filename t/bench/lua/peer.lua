-- The module's job as one would write it in Lua: tenant, token from a
-- shared dictionary (filled from Redis), body decoded, checked and encoded
-- again, two sliding counters, a gate, rate limit headers.

local cjson = require "cjson.safe"

local ngx = ngx
local tokens = ngx.shared.tokens
local limits = ngx.shared.limits
local floor, ceil = math.floor, math.ceil
local find, match = string.find, string.match

local LIMIT, WINDOW = 1000000000, 60
local COOLDOWN, TOKEN_CACHE = 60, 3600

local _M = { redis_port = 0 }

-- an empty array must not come out as an object
if cjson.decode_array_with_array_mt then
    cjson.decode_array_with_array_mt(true)
end


local function refuse(status, code, title, detail, retry)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    if retry then
        ngx.header["Retry-After"] = retry
    end
    ngx.print(cjson.encode({
        errors = {{
            status = status, code = code, title = title, detail = detail,
            source = cjson.null, meta = { source = "GATEWAY" }
        }}
    }))
    return ngx.exit(status)
end


local function load_token(tenant)
    local sock = ngx.socket.tcp()
    local key, line, value

    sock:settimeout(200)
    if not sock:connect("127.0.0.1", _M.redis_port) then
        return nil
    end

    key = "zapier:token:{" .. tenant .. "}"
    sock:send("*3\r\n$4\r\nHGET\r\n$" .. #key .. "\r\n" .. key
              .. "\r\n$12\r\naccess_token\r\n")

    line = sock:receive()
    value = line and tonumber(match(line, "^%$(%d+)"))
    if not value then
        return nil
    end

    value = sock:receive(value)
    sock:receive(2)
    sock:setkeepalive(10000, 16)

    tokens:set(tenant, value, TOKEN_CACHE)
    return value
end


-- the usual estimate of a sliding window from two fixed ones
local function charge(zone, tenant, limit)
    local now = ngx.now()
    local slot = floor(now / WINDOW)
    local prefix = zone .. ":" .. tenant .. ":"
    local gone = now / WINDOW - slot
    local last = limits:get(prefix .. (slot - 1)) or 0
    local count = limits:incr(prefix .. slot, 1, 0, 2 * WINDOW)
    local used = last * (1 - gone) + count

    if used > limit then
        limits:incr(prefix .. slot, -1)
        return nil, (slot + 1) * WINDOW
    end

    return floor(limit - used), (slot + 1) * WINDOW
end


local function envelope(data)
    local doc, err = cjson.decode(data)
    local run, inputs

    if type(doc) ~= "table" then
        return refuse(400, "parse_error", "ParseError", err)
    end

    run = doc.data or doc
    inputs = run.inputs or run.input

    if type(run.action) ~= "string" or run.action == "" then
        return refuse(400, "required", "Required", "action is missing")
    end
    if type(inputs) ~= "table" then
        return refuse(400, "required", "Required", "inputs is missing")
    end
    for key in pairs(run) do
        if key ~= "action" and key ~= "authentication" and key ~= "inputs"
           and key ~= "input" and key ~= "callback_url"
        then
            return refuse(400, "unknown_field", "UnknownField", key)
        end
    end

    return cjson.encode({
        data = {
            action = run.action,
            authentication = run.authentication or cjson.null,
            inputs = inputs, callback_url = run.callback_url
        }
    })
end


local function rewrite()
    local data, name, file

    ngx.req.read_body()
    data = ngx.req.get_body_data()

    if not data then
        name = ngx.req.get_body_file()
        file = name and io.open(name, "rb")
        if file then
            data = file:read("*a")
            file:close()
        end
    end

    ngx.req.set_body_data(envelope(data or ""))
    ngx.req.set_header("Content-Type", "application/json")
end


function _M.request(body)
    local ctx = ngx.ctx
    local tenant = ngx.var.http_x_tenant
    local closed, token, remaining, reset

    if not tenant or tenant == "" then
        return refuse(401, "tenant_missing", "TenantMissing", "no tenant")
    end
    if #tenant > 128 or not find(tenant, "^[%w._@:-]+$") then
        return refuse(400, "tenant_invalid", "TenantInvalid", "bad tenant")
    end

    ctx.tenant = tenant

    closed = limits:get("gate:" .. tenant)
    if closed then
        ctx.remaining, ctx.reset = 0, closed
        return refuse(429, "rate_limited", "RateLimited",
                      "The upstream's limit is reached.",
                      ceil(closed - ngx.now()))
    end

    token = tokens:get(tenant) or load_token(tenant)
    if not token then
        return refuse(401, "token_missing", "TokenMissing", "no token")
    end

    if body then
        rewrite()
    end

    remaining, reset = charge("tenant", tenant, LIMIT)
    if remaining then
        remaining, reset = charge("bench", tenant, LIMIT)
    end

    ctx.remaining, ctx.reset = remaining or 0, reset

    if not remaining then
        return refuse(429, "rate_limited", "RateLimited", "limit reached",
                      ceil(reset - ngx.now()))
    end

    ngx.var.authorization = "Bearer " .. token
end


function _M.answer()
    local ctx, header = ngx.ctx, ngx.header
    local retry

    if ngx.status == 429 and ctx.tenant and ngx.var.upstream_status then
        retry = tonumber(header["Retry-After"]) or COOLDOWN
        limits:set("gate:" .. ctx.tenant, ngx.now() + retry, retry)
        ctx.remaining, ctx.reset = 0, ceil(ngx.now() + retry)
    end

    if ctx.reset then
        header["X-RateLimit-Limit"] = LIMIT
        header["X-RateLimit-Remaining"] = ctx.remaining
        header["X-RateLimit-Reset"] = ceil(ctx.reset)
    end
end


return _M
