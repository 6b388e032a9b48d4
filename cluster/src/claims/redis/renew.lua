-- ARGV[4]: who. ARGV[5]: how many are told at most. Then devices and epochs that were told.
local me = ARGV[4]
if not born or born > now then
    redis.call('HSET', KEYS[1], 'cluster', ARGV[1], 'born', text(now))
end
local stamp = redis.call('GET', lease_of(me)) or text(now)
redis.call('SET', lease_of(me), stamp, 'PX', text(lease / 1000))
local list = P .. 'lost:' .. me
for i = 6, #ARGV, 2 do
    if redis.call('HGET', list, ARGV[i]) == ARGV[i + 1] then
        redis.call('HDEL', list, ARGV[i])
    end
end
local lost = redis.call('HRANDFIELD', list, ARGV[5], 'WITHVALUES')
local more = redis.call('HLEN', list) > #lost / 2 and 1 or 0
return {0, stamp, more, lost}
