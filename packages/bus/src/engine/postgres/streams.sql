-- Functions over streams. Every one that a plan could make slow fixes how its tables are reached: they grow from nothing
-- to millions of rows between two looks of the statistics.

CREATE OR REPLACE FUNCTION arqon_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- The lowest sequence from `_from` to `_to` whose event was stored after `_after` and begins at byte `_start` of its stream or
-- later; null when there is none. Both rise with the sequence, and events go from below, so halving finds it: what was
-- stored in between is never read through.
CREATE OR REPLACE FUNCTION arqon_first(_stream bigint, _from bigint, _to bigint, _after double precision, _start bigint)
RETURNS bigint LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
  _low bigint := _from;
  _high bigint := _to + 1;
  -- As a rule nothing has to go: the first one is looked at first.
  _next bigint := _from;
BEGIN
  WHILE _low < _high LOOP
    IF EXISTS (SELECT FROM arqon_messages m WHERE m.stream = _stream AND m.sequence = _next
      AND m.stored_at > _after AND m.start >= _start) THEN
      _high := _next;
    ELSE
      _low := _next + 1;
    END IF;
    _next := (_low + _high) / 2;
  END LOOP;
  RETURN CASE WHEN _low <= _to THEN _low END;
END $$;

-- The lowest sequence that a stream keeps, one more than its last when it keeps none.
CREATE OR REPLACE FUNCTION arqon_oldest(s arqon_streams, _now bigint) RETURNS bigint LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
  SELECT coalesce(
    arqon_first(s.id, greatest(s.oldest, s.sequence - s.size + 1), s.sequence, _now - s.ttl_ms,
      s.bytes - coalesce(s.max_bytes, s.bytes)),
    CASE WHEN s.keep_last AND s.oldest <= s.sequence
      AND EXISTS (SELECT FROM arqon_messages m WHERE m.stream = s.id AND m.sequence = s.sequence) THEN s.sequence
    END,
    s.sequence + 1)
$$;

-- Has a stream keep by other limits from now on. It is then not forgotten for as long as if its last event had come now,
-- and an end in `_rest` ms; never, while it keeps that event for ever.
CREATE OR REPLACE FUNCTION arqon_retain(
  _tenant text, _room text, _channel text, _size bigint, _ttl double precision, _max_bytes bigint, _keep boolean,
  _rest bigint
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  _now bigint := arqon_now();
  _one arqon_streams;
BEGIN
  -- Locked first: what is looked at next is then all that was stored.
  PERFORM FROM arqon_streams WHERE tenant = _tenant AND room = _room AND channel = _channel FOR UPDATE;
  UPDATE arqon_streams s
    SET oldest = arqon_oldest(s, _now), size = _size, ttl_ms = _ttl, max_bytes = _max_bytes, keep_last = _keep
    WHERE s.tenant = _tenant AND s.room = _room AND s.channel = _channel
    RETURNING s.* INTO _one;
  UPDATE arqon_streams
    SET till = CASE WHEN _keep AND arqon_oldest(_one, _now) <= _one.sequence THEN 'Infinity'
      ELSE _now + CASE WHEN _size > 0 THEN _ttl ELSE 0 END + _rest END
    WHERE id = _one.id;
END $$;

-- Where a stream stands; it is opened with the epoch given if it never was. It is then not forgotten for `_rest` ms. That
-- is noted for longer than asked, so that it need not be noted with every question.
CREATE OR REPLACE FUNCTION arqon_state(_tenant text, _room text, _channel text, _epoch text, _rest bigint)
RETURNS TABLE (sequence bigint, epoch text, oldest bigint) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  _now bigint := arqon_now();
BEGIN
  LOOP
    RETURN QUERY SELECT s.sequence, s.epoch, arqon_oldest(s, _now) FROM arqon_streams s
      WHERE s.tenant = _tenant AND s.room = _room AND s.channel = _channel AND s.till >= _now + _rest;
    EXIT WHEN FOUND;
    INSERT INTO arqon_streams AS s (tenant, room, channel, epoch, till)
      VALUES (_tenant, _room, _channel, _epoch, _now + _rest + _rest / 6)
      ON CONFLICT (tenant, room, channel) DO UPDATE SET till = excluded.till WHERE s.till < excluded.till;
  END LOOP;
END $$;

-- Stores a batch of publications as a whole: idempotence, sequence, append, limits.
--
-- _tag        names the call: one that was carried out before is answered as it was then
-- _again      whether it may have been carried out before
-- _origin     the process that publishes
-- _rest       for how long a stream stays known that holds nothing any more (ms)
-- _tenants …  the streams concerned, each once, with the epoch that a new one gets and the limits from now on
-- _firsts     what the sequence begins with of those that never had an event
-- _windows    for how long their publications' ids count as sent (ms); 0: not at all
-- _at …       where a stream has to stand for its publications to be stored: sequence and epoch, or the id of its last
--             event; null: anywhere
-- _streams …  the publications: index of the stream (from 1), number within the process, id, identity, sender, accept
--             time, envelope but for its end
-- Answer      {"streams": [row of each stream], "epochs": [its epoch], "sequences": [its last before], "ids": [that event's],
--             "rows": [[sequence, 1 for a duplicate, 2 when the stream stands elsewhere, else 0], …]}
CREATE OR REPLACE FUNCTION arqon_append(
  _tag text, _again boolean, _origin text, _rest bigint,
  _tenants text[], _rooms text[], _channels text[], _epochs text[],
  _sizes bigint[], _ttls double precision[], _max_bytes bigint[], _keeps boolean[], _windows bigint[],
  _firsts bigint[],
  _at_sequences bigint[], _at_epochs text[], _at_ids text[],
  _streams integer[], _numbers bigint[], _ids text[], _identities text[], _senders text[], _times bigint[], _bodies text[]
) RETURNS text LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  _held arqon_streams[];
  _one arqon_streams;
  _refs bigint[] := '{}';
  _bases bigint[] := '{}';
  _starts bigint[] := '{}';
  _marks integer[] := '{}';
  _known text[] := '{}';
  _oldest bigint[] := '{}';
  _latest bigint[] := '{}';
  _last text[] := '{}';
  _elsewhere boolean[] := '{}';
  _n integer;
  _position bigint;
  _now bigint;
  _answer text;
BEGIN
  LOOP
    -- Locked by rising id, so that two batches never wait for each other.
    SELECT array_agg(l.s ORDER BY l.n) INTO _held FROM (
      SELECT s, u.n FROM unnest(_tenants, _rooms, _channels) WITH ORDINALITY u (tenant, room, channel, n)
      JOIN arqon_streams s ON s.tenant = u.tenant AND s.room = u.room AND s.channel = u.channel
      ORDER BY s.id FOR UPDATE OF s
    ) l;
    EXIT WHEN coalesce(array_length(_held, 1), 0) = array_length(_tenants, 1);
    -- In the order of their names, for the same reason.
    INSERT INTO arqon_streams (tenant, room, channel, epoch, till)
      SELECT u.tenant, u.room, u.channel, u.epoch, arqon_now() + _rest
      FROM unnest(_tenants, _rooms, _channels, _epochs) u (tenant, room, channel, epoch)
      ORDER BY 1, 2, 3
      ON CONFLICT DO NOTHING;
  END LOOP;

  IF _again THEN
    SELECT answer INTO _answer FROM arqon_answers WHERE tag = _tag;
    IF FOUND THEN RETURN _answer; END IF;
  END IF;

  _position := nextval('arqon_positions');
  _now := arqon_now();
  FOREACH _one IN ARRAY _held LOOP
    _refs := _refs || _one.id;
    _n := array_length(_refs, 1);
    _last := _last || _one.last_id;
    _elsewhere := _elsewhere || coalesce(
      _at_sequences[_n] <> _one.sequence OR _at_epochs[_n] <> _one.epoch
        OR (_at_ids[_n] IS NOT NULL AND _at_ids[_n] IS DISTINCT FROM _one.last_id), false);
    _bases := _bases || CASE WHEN _one.sequence = 0 THEN _firsts[_n] - 1 ELSE _one.sequence END;
    _starts := _starts || _one.bytes;
    _known := _known || _one.epoch;
    -- The end of an envelope is `"sequence":N,"epoch":"E"}}`: 24 bytes around N and E.
    _marks := _marks || (24 + length(_one.epoch));
    _latest := _latest || greatest(_now, _one.stored_at);
    _oldest := _oldest || CASE
      WHEN _one.sequence > 0 AND (_one.size, _one.ttl_ms, _one.max_bytes, _one.keep_last) IS DISTINCT FROM
        (_sizes[_n], _ttls[_n], _max_bytes[_n], _keeps[_n])
        THEN arqon_oldest(_one, _now)
      ELSE _one.oldest
    END;
  END LOOP;

  -- Windows, not joins: the length of a batch counts once.
  WITH given AS (
    SELECT g.*, _refs[g.at] AS stream,
      row_number() OVER (PARTITION BY g.at, g.identity, g.id ORDER BY g.n) AS nth
    FROM unnest(_streams, _numbers, _ids, _identities, _senders, _times, _bodies)
      WITH ORDINALITY g (at, number, id, identity, sender, time, body, n)
  ), known AS MATERIALIZED (
    SELECT g.*, i.sequence AS first,
      (i.sequence IS NULL AND (g.nth = 1 OR _windows[g.at] = 0) AND NOT _elsewhere[g.at]) AS fresh
    FROM given g LEFT JOIN LATERAL (
      SELECT i.sequence FROM arqon_ids i
      WHERE i.stream = g.stream AND i.identity = g.identity AND i.id = g.id AND i.until > _now
        AND _windows[g.at] > 0 LIMIT 1
    ) i ON true
  ), placed AS (
    SELECT k.*, _bases[k.at] + sum(k.fresh::integer) OVER (PARTITION BY k.at ORDER BY k.n) AS sequence FROM known k
  ), measured AS (
    SELECT p.*, CASE WHEN p.fresh THEN octet_length(p.body) + _marks[p.at] + length(p.sequence::text) ELSE 0 END AS weight
    FROM placed p
  ), laid AS MATERIALIZED (
    SELECT m.*, (_starts[m.at] + sum(m.weight) OVER (PARTITION BY m.at ORDER BY m.n))::bigint AS finish,
      coalesce(m.first, CASE WHEN _windows[m.at] = 0 THEN m.sequence END,
        first_value(m.sequence) OVER (PARTITION BY m.at, m.identity, m.id ORDER BY m.n)) AS answered
    FROM measured m
  ), stored AS (
    INSERT INTO arqon_messages
      (stream, sequence, position, item, origin, number, time, stored_at, start, id, sender, identity, body)
    SELECT stream, sequence, _position, n, _origin, number, time, _latest[at], finish - weight, id, sender, identity, body
    FROM laid WHERE fresh
  ), remembered AS (
    INSERT INTO arqon_ids (stream, identity, id, sequence, until)
    SELECT stream, identity, id, sequence, _now + _windows[at] FROM laid WHERE fresh AND _windows[at] > 0
    ON CONFLICT (stream, identity, id) DO UPDATE SET sequence = excluded.sequence, until = excluded.until
  ), moved AS (
    UPDATE arqon_streams s
    SET sequence = l.sequence, bytes = l.bytes, stored_at = _latest[l.at], size = _sizes[l.at], ttl_ms = _ttls[l.at],
      max_bytes = _max_bytes[l.at], keep_last = _keeps[l.at], oldest = _oldest[l.at], last_id = l.id,
      till = CASE WHEN _keeps[l.at] THEN 'Infinity' ELSE greatest(nullif(s.till, 'Infinity'),
        _latest[l.at] + CASE WHEN _sizes[l.at] > 0 THEN _ttls[l.at] ELSE 0 END + _rest) END
    FROM (
      SELECT DISTINCT ON (at) stream, at, sequence, finish AS bytes, id FROM laid WHERE fresh ORDER BY at, n DESC
    ) l
    WHERE s.id = l.stream
  )
  SELECT json_build_object('streams', _refs, 'epochs', _known, 'sequences', _bases, 'ids', _last,
    'rows', json_agg(json_build_array(l.answered,
      CASE WHEN l.fresh THEN 0 WHEN l.first IS NULL AND _elsewhere[l.at] THEN 2 ELSE 1 END) ORDER BY l.n))::text
    INTO _answer FROM laid l;

  INSERT INTO arqon_answers (tag, answer, at) VALUES (_tag, _answer, _now);
  RETURN _answer;
END $$;

-- What was committed since a snapshot, all as of one other: each row's `kind` says which columns it fills.
--
-- _xmax, _xip       the snapshot: the first transaction that it does not know, those below that were under way
-- _from, _item      only messages after this place
-- _most             messages at most
-- _node, _origin    the node and the process that ask
-- _spaces           whose changes are wanted
-- _tenants, _rooms  rooms (`*`: all of the tenant) whose streams are asked for
-- Answer  `snapshot`  body: this snapshot
--         `message`   position, item, ref (stream), sequence, number (of the process that asks, else null), bytes
--         `signal`    position
--         `change`    position
--         `stream`    ref, sequence, and in body its names and epoch, each on a line
--         `outbox`    something waits in the outbox
CREATE OR REPLACE FUNCTION arqon_read(
  _xmax xid8, _xip xid8[], _from bigint, _item integer, _most integer, _node text, _origin text, _spaces text[],
  _tenants text[], _rooms text[]
) RETURNS TABLE (kind text, "position" bigint, item integer, ref bigint, sequence bigint, number bigint, bytes integer, body text)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
BEGIN
  RETURN QUERY SELECT 'snapshot', NULL::bigint, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer,
    pg_current_snapshot()::text;
  RETURN QUERY SELECT 'message', m.position, m.item, m.stream, m.sequence,
      CASE WHEN m.origin = _origin THEN m.number END, octet_length(m.body), NULL::text
    FROM arqon_messages m
    WHERE (m.xid >= _xmax OR m.xid = ANY (_xip)) AND (m.position, m.item) > (_from, _item)
    ORDER BY m.position, m.item LIMIT _most;
  RETURN QUERY SELECT 'signal', s.position, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer, NULL::text
    FROM arqon_signals s
    WHERE (s.xid >= _xmax OR s.xid = ANY (_xip)) AND s.origin <> _origin AND (s.node IS NULL OR s.node = _node)
    ORDER BY s.position;
  RETURN QUERY SELECT 'change', c.position, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer, NULL::text
    FROM arqon_changes c
    WHERE (c.xid >= _xmax OR c.xid = ANY (_xip)) AND c.space = ANY (_spaces)
    ORDER BY c.position;
  RETURN QUERY SELECT 'stream', NULL::bigint, NULL::integer, s.id, s.sequence, NULL::bigint, NULL::integer,
      s.tenant || E'\n' || s.room || E'\n' || s.channel || E'\n' || s.epoch
    FROM unnest(_tenants, _rooms) w (tenant, room)
    JOIN arqon_streams s ON s.tenant = w.tenant AND (w.room = '*' OR s.room = w.room);
  IF EXISTS (SELECT FROM arqon_outbox) THEN
    RETURN QUERY SELECT 'outbox', NULL::bigint, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer, NULL::text;
  END IF;
END $$;

-- Deletes events that streams no longer keep, at most `_most` in all, one stream after the other; none that was stored since
-- `_before`, which nodes may not have read yet. Answers the streams that it did not come to the end of, in their order.
CREATE OR REPLACE FUNCTION arqon_trim(_streams bigint[], _before bigint, _most integer) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
  _now bigint := arqon_now();
  _left integer := _most;
  _n integer;
  _one arqon_streams;
  _first bigint;
  _end bigint;
BEGIN
  FOR _n IN 1 .. cardinality(_streams) LOOP
    SELECT * INTO _one FROM arqon_streams WHERE id = _streams[_n];
    CONTINUE WHEN NOT FOUND;
    SELECT m.sequence INTO _first FROM arqon_messages m WHERE m.stream = _one.id ORDER BY m.sequence LIMIT 1;
    CONTINUE WHEN NOT FOUND;
    _end := arqon_oldest(_one, _now);
    _end := coalesce(arqon_first(_one.id, _first, _end - 1, _before - 1, 0), _end);
    DELETE FROM arqon_messages m
      WHERE m.stream = _one.id AND m.sequence >= _first AND m.sequence < least(_end, _first + _left);
    _left := _left - greatest(0, least(_end - _first, _left));
    IF _left = 0 THEN RETURN _streams[_n:]; END IF;
  END LOOP;
  RETURN '{}';
END $$;
