-- The tables of schema version 1. Times are milliseconds since 1970 by the server's clock.

CREATE TABLE arqon_meta (key text PRIMARY KEY, value text NOT NULL);

-- Gives every transaction that stores something its place among those that it shares a lock with: taken once all locks
-- are held, so that of two such transactions the one that commits first has the lower number.
CREATE SEQUENCE arqon_positions;

-- bytes: UTF-8 bytes of all texts that the stream was ever given; max_bytes: how many of them it keeps, NULL for all.
-- oldest: the lowest sequence that was kept when these limits began to hold; what had to go before does not come back.
-- stored_at: when its last event was stored; an event never seems older than the one before it. last_id: that event's.
-- keep_last: whether the last event stays whatever the limits say.
-- till: until when it is not forgotten, though it holds nothing any more.
CREATE TABLE arqon_streams (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  room text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  epoch text NOT NULL,
  sequence bigint NOT NULL DEFAULT 0,
  size bigint NOT NULL DEFAULT 0,
  ttl_ms double precision NOT NULL DEFAULT 0,
  max_bytes bigint,
  keep_last boolean NOT NULL DEFAULT false,
  bytes bigint NOT NULL DEFAULT 0,
  oldest bigint NOT NULL DEFAULT 0,
  stored_at bigint NOT NULL DEFAULT 0,
  last_id text,
  till double precision NOT NULL,
  UNIQUE (tenant, room, channel)
) WITH (fillfactor = 50);

-- body: the envelope but for its end, which holds sequence and epoch. start: the stream's bytes before it. origin and
-- number: the process that published it, and the how many-eth publication of that process it is. xid: the transaction
-- that stored it, by which every node finds what was committed since it last looked.
CREATE TABLE arqon_messages (
  stream bigint NOT NULL,
  sequence bigint NOT NULL,
  position bigint NOT NULL,
  item integer NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  origin text NOT NULL,
  number bigint NOT NULL,
  time bigint NOT NULL,
  stored_at bigint NOT NULL,
  start bigint NOT NULL,
  id text NOT NULL,
  sender text NOT NULL,
  identity text NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (stream, sequence)
);
CREATE INDEX arqon_messages_by_xid ON arqon_messages (xid);

-- Streams that were dropped, whose messages and ids are still to be deleted.
CREATE TABLE arqon_dropped (stream bigint PRIMARY KEY);

-- The idempotence window of streams, and that of what no stream keeps.
CREATE TABLE arqon_ids (
  stream bigint NOT NULL,
  identity text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL,
  until bigint NOT NULL,
  PRIMARY KEY (stream, identity, id)
);
CREATE INDEX arqon_ids_by_end ON arqon_ids (until);
CREATE TABLE arqon_claims (key text COLLATE "C" PRIMARY KEY, tag text NOT NULL, until bigint NOT NULL);
CREATE INDEX arqon_claims_by_end ON arqon_claims (until);

-- What transactions came to, so that one whose answer was lost is not made twice.
CREATE TABLE arqon_answers (tag text COLLATE "C" PRIMARY KEY, answer text NOT NULL, at bigint NOT NULL);
CREATE INDEX arqon_answers_by_time ON arqon_answers (at);

-- namespace and key are UTF-16, most significant byte first: their order is that of code units, and any text survives.
-- bytes: what a key counts for with its owner, UTF-8 bytes of key and value.
CREATE TABLE arqon_keys (
  space text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  namespace bytea NOT NULL,
  key bytea NOT NULL,
  value text NOT NULL,
  version bigint NOT NULL,
  expires_at bigint,
  bytes bigint NOT NULL,
  owner text COLLATE "C",
  PRIMARY KEY (space, tenant, namespace, key)
);
CREATE INDEX arqon_keys_by_end ON arqon_keys (expires_at) WHERE expires_at IS NOT NULL;

-- What a tenant holds in a space, and the last version given out there. Rows stay: versions never come again.
CREATE TABLE arqon_spaces (
  space text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  version bigint NOT NULL DEFAULT 0,
  keys bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (space, tenant)
) WITH (fillfactor = 50);
CREATE TABLE arqon_owners (
  space text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  owner text COLLATE "C" NOT NULL,
  keys bigint NOT NULL,
  bytes bigint NOT NULL,
  PRIMARY KEY (space, tenant, owner)
) WITH (fillfactor = 50);

-- What changed in the key-value store, for watchers on every node.
CREATE TABLE arqon_changes (
  position bigint PRIMARY KEY DEFAULT nextval('arqon_positions'),
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at bigint NOT NULL,
  space text NOT NULL,
  tenant text NOT NULL,
  namespace bytea NOT NULL,
  key bytea NOT NULL,
  operation text NOT NULL,
  version bigint NOT NULL,
  value text
);
CREATE INDEX arqon_changes_by_xid ON arqon_changes (xid);
CREATE INDEX arqon_changes_by_time ON arqon_changes (at);

-- What an application published in a transaction of its own and no node has taken into a stream yet.
CREATE TABLE arqon_outbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  time bigint NOT NULL,
  tenant text NOT NULL,
  room text NOT NULL,
  channel text NOT NULL,
  id text NOT NULL,
  payload text NOT NULL
);

-- Presence is worth nothing after a crash: it is not logged, and every node announces itself again. entry: all of it, as
-- JSON; the columns beside it are what it is looked for by.
CREATE UNLOGGED TABLE arqon_nodes (node text PRIMARY KEY, beat bigint NOT NULL, status text NOT NULL);
CREATE UNLOGGED TABLE arqon_clients (
  tenant text COLLATE "C" NOT NULL,
  client text COLLATE "C" NOT NULL,
  node text NOT NULL,
  subject text COLLATE "C",
  rooms text[] NOT NULL,
  entry text NOT NULL,
  PRIMARY KEY (tenant, client)
);
CREATE INDEX arqon_clients_by_subject ON arqon_clients (tenant, subject) WHERE subject IS NOT NULL;
CREATE INDEX arqon_clients_by_node ON arqon_clients (node);

-- What one node tells another (node NULL: all others).
CREATE UNLOGGED TABLE arqon_signals (
  position bigint PRIMARY KEY DEFAULT nextval('arqon_positions'),
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at bigint NOT NULL,
  node text,
  origin text NOT NULL,
  body text NOT NULL
);
CREATE INDEX arqon_signals_by_xid ON arqon_signals (xid);
CREATE INDEX arqon_signals_by_time ON arqon_signals (at);
