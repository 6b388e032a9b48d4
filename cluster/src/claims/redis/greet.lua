-- A connection is new. ARGV[4]: which run of Redis this is. One that was started again, or took another's place, may have lost what
-- was written last, so the directory begins anew.
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[4] then
    redis.call('HSET', KEYS[1], 'cluster', ARGV[1], 'run', ARGV[4], 'born', text(now))
end
return {0}
