-- A connection is new. ARGV[5]: which run of Redis this is. One that was started again, or took another's place, may have lost what
-- was written last, so the directory begins anew.
-- A replica refuses to write, and is no directory.
redis.call('HSET', KEYS[1], 'greeted', text(now))
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[5] then
    redis.call('HSET', KEYS[1], 'cluster', ARGV[1], 'run', ARGV[5], 'born', text(now), 'birth', text(now))
end
return {0}
