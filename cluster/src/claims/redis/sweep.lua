-- ARGV[5]: where to go on. ARGV[6]: how many to look at. Then runs that are dead. Answers where to go on, '0' at the end, how many
-- were removed, and runs without a lease that are not among the dead.
local dead, found, living = {}, {}, {}
for i = 7, #ARGV do
    dead[ARGV[i]] = true
end
local page = redis.call('SCAN', ARGV[5], 'MATCH', P .. 'of:*', 'COUNT', ARGV[6])
local removed = 0
for _, key in ipairs(page[2]) do
    local claim = read(string.sub(key, #P + 4))
    local holder = claim and claim.holder or '-'
    if holder ~= '-' then
        if living[holder] == nil then
            living[holder] = lives(holder)
            if not living[holder] and not dead[holder] then
                found[#found + 1] = holder
            end
        end
        if not living[holder] and dead[holder] then
            removed = removed + redis.call('DEL', key)
        end
    end
end
return {0, page[1], removed, found}
