-- ARGV[5]: who.
redis.call('DEL', lease_of(ARGV[5]), P .. 'lost:' .. ARGV[5])
return {0}
