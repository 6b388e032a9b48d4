-- Begins every script. KEYS[1]: about the directory. ARGV[1]: the cluster, ARGV[2]: microseconds of a lease, ARGV[3]: milliseconds
-- for which a claim stays, ARGV[4]: microseconds for which another primary may be believed in. The rules are those of `table.rs`;
-- the conformance suite runs against both.
--
-- All keys have the same part in braces, so that one node of a Redis Cluster has them all.
--
-- A claim is 'HOLDER:EPOCH:UNCLEAR_UNTIL', HOLDER is '-' where it was released. Moments are microseconds of Redis' clock, exact
-- in a double. Answers begin with a status: 0, 'foreign' with whose it is, or 'no lease'.
local P = 'endtoend:{claims}:'
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lease, life, guard = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local about = redis.call('HMGET', KEYS[1], 'cluster', 'born', 'birth')
if about[1] and about[1] ~= ARGV[1] then
    return {'foreign', about[1]}
end
-- Since when it remembers, and the name of that beginning.
local born, birth = tonumber(about[2]), about[3]
local young = not born or now < born + lease + guard

local function text(number)
    return string.format('%.0f', number)
end
local function lease_of(run)
    return P .. 'lease:' .. run
end
-- Since when a run has its lease, which is 'STAMP:BIRTH'. One from before the directory began is none: what its run has claimed
-- since may be lost.
local function stamp_of(run)
    local value = redis.call('GET', lease_of(run))
    local stamp, of = string.match(value or '', '^(%d+):(%d+)$')
    return of and of == birth and stamp or nil
end
local function lives(run)
    return stamp_of(run) ~= nil
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
    if lives(holder) then
        local list = P .. 'lost:' .. holder
        redis.call('HSET', list, device, text(epoch))
        redis.call('PEXPIRE', list, life)
    end
end
