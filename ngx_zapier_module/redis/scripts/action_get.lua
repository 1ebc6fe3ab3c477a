-- The id of an action, as a node has looked it up.
--
-- KEYS  it
--
-- Returns { id, ms that it may still be used }, or { } if there is none

local id = redis.call('GET', KEYS[1])

if not id then
    return {}
end

return { id, redis.call('PTTL', KEYS[1]) }
