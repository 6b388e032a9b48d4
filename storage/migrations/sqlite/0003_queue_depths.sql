-- How much waits for a device, in a row of its own: a row of `devices` has 7 KiB, and each commit wrote it again.
CREATE TABLE queue_depths (
    device_row    INTEGER NOT NULL PRIMARY KEY REFERENCES devices (id),
    -- Rows of `queue` for this device, and those in the tray for requests, changed in the same transaction as they are.
    -- Without a row here, or with one that cannot be right, they are counted.
    queue_depth   INTEGER NOT NULL CHECK (queue_depth >= 0),
    request_depth INTEGER NOT NULL CHECK (request_depth BETWEEN 0 AND queue_depth)
) STRICT;
INSERT INTO queue_depths SELECT device_row, count(*), sum(tray) FROM queue GROUP BY device_row;
ALTER TABLE devices DROP COLUMN queue_depth;
ALTER TABLE devices DROP COLUMN request_depth;
