-- ARGV[5]: who. ARGV[6]: how many are told at most. Then devices and epochs that were told.
local me = ARGV[5]
if not born or not birth or born > now then
    born, birth = now, text(now)
    redis.call('HSET', KEYS[1], 'cluster', ARGV[1], 'born', birth, 'birth', birth)
end
local stamp = stamp_of(me) or text(now)
redis.call('SET', lease_of(me), stamp .. ':' .. birth, 'PX', text(lease / 1000))
local list = P .. 'lost:' .. me
for i = 7, #ARGV, 2 do
    if redis.call('HGET', list, ARGV[i]) == ARGV[i + 1] then
        redis.call('HDEL', list, ARGV[i])
    end
end
local lost = redis.call('HRANDFIELD', list, ARGV[6], 'WITHVALUES')
local more = redis.call('HLEN', list) > #lost / 2 and 1 or 0
return {0, stamp, more, lost, math.max(0, born + lease + guard - now)}
