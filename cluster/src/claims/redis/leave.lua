-- ARGV[4]: who.
redis.call('DEL', lease_of(ARGV[4]), P .. 'lost:' .. ARGV[4])
return {0}
