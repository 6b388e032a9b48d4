-- Begins every script. KEYS[1]: about the directory. ARGV[1]: the cluster, ARGV[2]: microseconds of a lease, ARGV[3]: milliseconds
-- for which a claim stays. The rules are those of `table.rs`; the conformance suite runs against both.
--
-- A claim is 'HOLDER:EPOCH:UNCLEAR_UNTIL', HOLDER is '-' where it was released. Moments are microseconds of Redis' clock, exact
-- in a double. Answers begin with a status: 0, 'foreign' with whose it is, or 'no lease'.
local P = 'endtoend:claims:'
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lease, life = tonumber(ARGV[2]), ARGV[3]
local about = redis.call('HMGET', KEYS[1], 'cluster', 'born')
if about[1] and about[1] ~= ARGV[1] then
    return {'foreign', about[1]}
end
local born = tonumber(about[2])
local young = not born or now < born + lease

local function text(number)
    return string.format('%.0f', number)
end
local function lease_of(run)
    return P .. 'lease:' .. run
end
local function read(device)
    local claim = redis.call('GET', P .. 'of:' .. device)
    if not claim then
        return nil
    end
    local holder, epoch, unclear = string.match(claim, '^([^:]+):(%d+):(%d+)$')
    return {holder = holder, epoch = tonumber(epoch), unclear = tonumber(unclear)}
end
local function write(device, holder, epoch, unclear)
    redis.call('SET', P .. 'of:' .. device, holder .. ':' .. text(epoch) .. ':' .. text(unclear), 'PX', life)
end
local function tell(holder, device, epoch)
    if redis.call('EXISTS', lease_of(holder)) == 1 then
        local list = P .. 'lost:' .. holder
        redis.call('HSET', list, device, text(epoch))
        redis.call('PEXPIRE', list, life)
    end
end
