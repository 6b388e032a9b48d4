-- How much waits for a device, as in SQLite's third migration. Rows are written again and again: half of a page is kept for that.
CREATE TABLE queue_depths (
    device_row    BIGINT NOT NULL PRIMARY KEY REFERENCES devices (id),
    queue_depth   BIGINT NOT NULL CHECK (queue_depth >= 0),
    request_depth BIGINT NOT NULL CHECK (request_depth BETWEEN 0 AND queue_depth)
) WITH (fillfactor = 50);
INSERT INTO queue_depths SELECT device_row, count(*), sum(tray) FROM queue GROUP BY device_row;
ALTER TABLE devices DROP COLUMN queue_depth, DROP COLUMN request_depth;
