-- ARGV from 5: devices. Answers for each who has it, '-' for nobody who has a lease, and after it '?' where somebody else may.
local answers, living = {}, {}
for i = 5, #ARGV do
    local claim = read(ARGV[i])
    local holder = claim and claim.holder or '-'
    if holder ~= '-' then
        if living[holder] == nil then
            living[holder] = lives(holder)
        end
        holder = living[holder] and holder or '-'
    end
    local unclear = young or (claim and claim.unclear > now)
    answers[#answers + 1] = holder .. (unclear and '?' or '')
end
return {0, answers}
