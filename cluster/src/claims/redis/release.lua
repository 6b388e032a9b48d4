-- ARGV[5]: who. Then devices and epochs. While it is not clear who else has a device, that it was claimed stays known.
local me = ARGV[5]
for i = 6, #ARGV, 2 do
    local device, epoch = ARGV[i], tonumber(ARGV[i + 1])
    local old = read(device)
    if old and old.holder == me and old.epoch == epoch then
        if old.unclear > now then
            write(device, '-', epoch, old.unclear)
            redis.call('PEXPIRE', P .. 'of:' .. device, text(math.ceil((old.unclear - now) / 1000)))
        else
            redis.call('DEL', P .. 'of:' .. device)
        end
    end
end
return {0}
