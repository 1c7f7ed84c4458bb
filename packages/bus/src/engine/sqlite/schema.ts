/** Version of the tables below, kept in `user_version`. A database with a higher one is rejected. */
export const SCHEMA_VERSION = 5;

/** Identifies an ArqonBus file, in `application_id`: the letters "ArqB". */
export const APPLICATION_ID = 0x41727142;

/** The migration from each schema version to the next; index 0 creates a new database. */
export const MIGRATIONS: readonly string[] = [
  `
  -- AUTOINCREMENT: the id of a dropped stream never comes back, for its messages and ids go later than itself.
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    room TEXT NOT NULL,
    channel TEXT NOT NULL,
    epoch TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    size INTEGER NOT NULL,
    ttl_ms REAL NOT NULL,
    UNIQUE (tenant, room, channel)
  );

  -- Appended at its end, whatever the stream; the index covers every search by sequence and by time.
  CREATE TABLE messages (
    stream INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time INTEGER NOT NULL,
    sender TEXT NOT NULL,
    text TEXT NOT NULL
  );
  CREATE UNIQUE INDEX messages_by_stream ON messages (stream, sequence, time);

  -- Streams whose messages are still to be deleted.
  CREATE TABLE dropped (stream INTEGER PRIMARY KEY);

  -- The idempotence window: one row per transaction, JSON of its ids.
  CREATE TABLE ids (number INTEGER PRIMARY KEY, until INTEGER NOT NULL, entries TEXT NOT NULL);
  CREATE INDEX ids_by_end ON ids (until);

  -- namespace and key are spelled as sort-keys.ts says.
  CREATE TABLE keys (
    space TEXT NOT NULL,
    tenant TEXT NOT NULL,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (space, tenant, namespace, key)
  ) WITHOUT ROWID;
  CREATE INDEX keys_by_tenant ON keys (space, tenant, expires_at);
  CREATE INDEX keys_by_end ON keys (expires_at) WHERE expires_at IS NOT NULL;

  -- Written and emptied again to find out whether writing works.
  CREATE TABLE probe (filler TEXT NOT NULL);
  `,
  `
  -- The latest time at which something was stored: the clock goes on from there, wherever the machine's stands.
  CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), time INTEGER NOT NULL);

  -- bytes: UTF-8 bytes of all texts that the stream was ever given; max_bytes: how many of them it keeps, NULL for all.
  -- oldest: the lowest sequence that was kept when these limits began to hold; what had to go before does not come back.
  ALTER TABLE streams ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE streams ADD COLUMN max_bytes INTEGER;
  ALTER TABLE streams ADD COLUMN oldest INTEGER NOT NULL DEFAULT 0;

  -- time is when the sender's node accepted a message; it ages from stored_at. start: the stream's bytes before it.
  ALTER TABLE messages ADD COLUMN stored_at INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE messages ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
  UPDATE messages SET stored_at = time;
  DROP INDEX messages_by_stream;
  CREATE UNIQUE INDEX messages_by_stream ON messages (stream, sequence, time, stored_at, start);

  -- What a key counts for (UTF-8 bytes of key and value), and with whom; owners are spelled as keys are.
  ALTER TABLE keys ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE keys ADD COLUMN owner TEXT;
  UPDATE keys SET bytes = length(key) / 4 + length(CAST(value AS BLOB));

  -- What a tenant holds in a space, and the last version given out there. Rows stay: versions never come again.
  CREATE TABLE spaces (
    space TEXT NOT NULL,
    tenant TEXT NOT NULL,
    version INTEGER NOT NULL,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (space, tenant)
  ) WITHOUT ROWID;
  INSERT INTO spaces SELECT space, tenant, max(version), count(*), sum(bytes) FROM keys GROUP BY space, tenant;
  CREATE TABLE owners (
    space TEXT NOT NULL,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (space, tenant, owner)
  ) WITHOUT ROWID;
  `,
  `
  -- last_id: the id of the last event. until: when the stream is forgotten, an hour after its last event was.
  ALTER TABLE streams ADD COLUMN last_id TEXT;
  ALTER TABLE streams ADD COLUMN until REAL NOT NULL DEFAULT 0;
  UPDATE streams SET (last_id, until) = (
    SELECT json_extract(text, '$.id'), stored_at + ttl_ms + 3600000 FROM messages
    WHERE stream = id ORDER BY sequence DESC LIMIT 1
  ) WHERE EXISTS (SELECT 1 FROM messages WHERE stream = id);
  `,
  `
  -- keep_last: whether the last event stays whatever the limits say.
  ALTER TABLE streams ADD COLUMN keep_last INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- Bytes were not counted before version 2. Where such messages are kept, all of the stream are counted now: each has a
  -- start above 0 but the first. Streams without any are left alone.
  WITH uncounted AS (SELECT stream FROM messages WHERE start = 0 GROUP BY stream HAVING count(*) > 1)
  UPDATE messages SET start = counted.start FROM (
    SELECT rowid AS message, sum(length(CAST(text AS BLOB))) OVER (PARTITION BY stream ORDER BY sequence)
      - length(CAST(text AS BLOB)) AS start
    FROM messages WHERE stream IN (SELECT stream FROM uncounted)
  ) AS counted WHERE messages.rowid = counted.message;
  UPDATE streams SET bytes = max(bytes, coalesce((
    SELECT start + length(CAST(text AS BLOB)) FROM messages WHERE stream = id ORDER BY sequence DESC LIMIT 1
  ), 0));
  `,
];
