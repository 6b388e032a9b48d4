-- ARGV[5]: who. Then devices and epochs. Answers for each: 's' it stands, 'u' and it is unclear who else has it, 'l' lost.
local me, answers = ARGV[5], {}
if not lives(me) then
    return {'no lease'}
end
for i = 6, #ARGV, 2 do
    local device, epoch = ARGV[i], tonumber(ARGV[i + 1])
    local old = read(device)
    if old and old.holder == me and old.epoch == epoch then
        redis.call('PEXPIRE', P .. 'of:' .. device, life)
        answers[#answers + 1] = old.unclear > now and 'u' or 's'
    elseif old and old.epoch >= epoch then
        answers[#answers + 1] = 'l'
    else
        if old and old.holder ~= '-' and old.holder ~= me then
            tell(old.holder, device, epoch)
        end
        write(device, me, epoch, now + lease)
        answers[#answers + 1] = 'u'
    end
end
return {0, table.concat(answers)}
