-- ARGV[5]: who. ARGV[6]: the device. Answers the epoch and who had it before: '-' nobody, '?' somebody, or who.
local me, device = ARGV[5], ARGV[6]
if not lives(me) then
    return {'no lease'}
end
local old = read(device)
local epoch = math.max(old and old.epoch + 1 or 0, now)
local before = '-'
if (old and old.unclear > now) or young then
    before = '?'
elseif old and old.holder ~= '-' and old.holder ~= me then
    before = old.holder
end
if old and old.holder ~= '-' and old.holder ~= me then
    tell(old.holder, device, epoch)
end
write(device, me, epoch, before == '-' and 0 or now + lease)
return {0, text(epoch), before}
