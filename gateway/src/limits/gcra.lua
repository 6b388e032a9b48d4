-- Takes a cell of each key in turn, until there is none: the generic cell rate algorithm, as `governor` has it.
--
-- `now`: microseconds, set by the lines before these. KEYS: whose cells. ARGV: for each key how many at once, and the
-- microseconds after which there is another one. Answers {0, 0}, or the number of the key that has no cell, from 1, and the
-- microseconds until it has one; the cells of the keys before it are taken.
--
-- A key holds the moment at which all its cells are there again, and expires then. Numbers of this size are exact in a double.
for i, key in ipairs(KEYS) do
    local burst, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local full_at = tonumber(redis.call('GET', key)) or now
    -- Never later than when all have just been taken: whatever a clock that was set back, or another configuration, has left.
    full_at = math.min(full_at, now + burst * period)
    local next_at = full_at - (burst - 1) * period
    if now < next_at then
        return {i, next_at - now}
    end
    full_at = math.max(full_at, now) + period
    local life_ms = math.ceil((full_at - now) / 1000)
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', string.format('%.0f', life_ms))
end
return {0, 0}
