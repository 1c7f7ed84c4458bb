-- The key-value store.

-- Changes what an owner (NULL: nobody) and a tenant hold in a space.
CREATE OR REPLACE FUNCTION arqon_charge(_space text, _tenant text, _owner text, _keys bigint, _bytes bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE arqon_spaces SET keys = keys + _keys, bytes = bytes + _bytes WHERE space = _space AND tenant = _tenant;
  IF _owner IS NULL THEN RETURN; END IF;
  INSERT INTO arqon_owners AS o (space, tenant, owner, keys, bytes) VALUES (_space, _tenant, _owner, _keys, _bytes)
    ON CONFLICT (space, tenant, owner) DO UPDATE SET keys = o.keys + _keys, bytes = o.bytes + _bytes;
  DELETE FROM arqon_owners WHERE space = _space AND tenant = _tenant AND owner = _owner AND keys <= 0;
END $$;

-- Takes a key away, and tells so.
CREATE OR REPLACE FUNCTION arqon_remove(k arqon_keys, _operation text, _now bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  DELETE FROM arqon_keys WHERE space = k.space AND tenant = k.tenant AND namespace = k.namespace AND key = k.key;
  PERFORM arqon_charge(k.space, k.tenant, k.owner, -1, -k.bytes);
  INSERT INTO arqon_changes (at, space, tenant, namespace, key, operation, version)
    VALUES (_now, k.space, k.tenant, k.namespace, k.key, _operation, k.version);
END $$;

-- Locks the spaces of tenants that keys are to be changed in, by rising name.
CREATE OR REPLACE FUNCTION arqon_lock_spaces(_spaces text[], _tenants text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO arqon_spaces (space, tenant)
    SELECT DISTINCT u.space, u.tenant FROM unnest(_spaces, _tenants) u (space, tenant) ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
  PERFORM FROM arqon_spaces s
    WHERE (s.space, s.tenant) IN (SELECT u.space, u.tenant FROM unnest(_spaces, _tenants) u (space, tenant))
    ORDER BY s.space, s.tenant FOR UPDATE;
END $$;

-- Carries out sets and deletions in their order, as one transaction.
--
-- _tag, _again  as for arqon_append
-- _operations   JSON: [{kind, space, tenant, namespace, key (both hexadecimal), value, if_version, ttl_ms,
--               version (that it gets), bytes, owner,
--               owner_keys, owner_bytes, tenant_keys, tenant_bytes}, …]; null: not given
-- Answer        JSON: [[version, 1 when created, else 0] or ["conflict", version] or ["full", limit] of a set;
--               [1 when there was one, else 0] or ["conflict", version] of a deletion, …]
CREATE OR REPLACE FUNCTION arqon_change(_tag text, _again boolean, _operations json) RETURNS text
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
  _op record;
  _held arqon_keys;
  _old arqon_keys;
  _there boolean;
  _same boolean;
  _owner text;
  _own arqon_owners;
  _all arqon_spaces;
  _limit text;
  _version bigint;
  _answers json[] := '{}';
  _answer text;
  _now bigint;
BEGIN
  PERFORM arqon_lock_spaces(array_agg(o.space), array_agg(o.tenant))
    FROM json_to_recordset(_operations) o (space text, tenant text);
  IF _again THEN
    SELECT answer INTO _answer FROM arqon_answers WHERE tag = _tag;
    IF FOUND THEN RETURN _answer; END IF;
  END IF;
  _now := arqon_now();
  FOR _op IN
    SELECT r.o ->> 'kind' AS kind, r.o ->> 'space' AS space, r.o ->> 'tenant' AS tenant,
      decode(r.o ->> 'namespace', 'hex') AS namespace, decode(r.o ->> 'key', 'hex') AS key, r.o ->> 'value' AS value,
      (r.o ->> 'if_version')::bigint AS if_version, (r.o ->> 'ttl_ms')::double precision AS ttl_ms,
      (r.o ->> 'version')::bigint AS version, (r.o ->> 'bytes')::bigint AS bytes, r.o ->> 'owner' AS owner, (r.o ->> 'owner_keys')::bigint AS owner_keys,
      (r.o ->> 'owner_bytes')::bigint AS owner_bytes, (r.o ->> 'tenant_keys')::bigint AS tenant_keys,
      (r.o ->> 'tenant_bytes')::bigint AS tenant_bytes
    FROM json_array_elements(_operations) WITH ORDINALITY r (o, n) ORDER BY r.n
  LOOP
    SELECT * INTO _held FROM arqon_keys
      WHERE space = _op.space AND tenant = _op.tenant AND namespace = _op.namespace AND key = _op.key;
    _there := FOUND;
    IF _there AND _held.expires_at <= _now THEN
      PERFORM arqon_remove(_held, 'expire', _now);
      _there := false;
    END IF;
    _version := CASE WHEN _there THEN _held.version ELSE 0 END;
    IF _op.if_version IS NOT NULL AND _op.if_version <> _version THEN
      _answers := _answers || json_build_array('conflict', _version);
      CONTINUE;
    END IF;
    IF _op.kind = 'delete' THEN
      IF _there THEN PERFORM arqon_remove(_held, 'delete', _now); END IF;
      _answers := _answers || json_build_array(_there::integer);
      CONTINUE;
    END IF;

    _owner := coalesce(_op.owner, CASE WHEN _there THEN _held.owner END);
    _same := _there AND _held.owner IS NOT DISTINCT FROM _owner;
    IF _op.owner IS NOT NULL THEN
      LOOP
        SELECT * INTO _all FROM arqon_spaces WHERE space = _op.space AND tenant = _op.tenant;
        SELECT * INTO _own FROM arqon_owners WHERE space = _op.space AND tenant = _op.tenant AND owner = _owner;
        _limit := CASE
          WHEN NOT _same AND coalesce(_own.keys, 0) + 1 > _op.owner_keys THEN 'owner_keys'
          WHEN _op.bytes - CASE WHEN _same THEN _held.bytes ELSE 0 END > 0
            AND coalesce(_own.bytes, 0) + _op.bytes - CASE WHEN _same THEN _held.bytes ELSE 0 END > _op.owner_bytes
            THEN 'owner_bytes'
          WHEN NOT _there AND _all.keys + 1 > _op.tenant_keys THEN 'tenant_keys'
          WHEN _op.bytes - CASE WHEN _there THEN _held.bytes ELSE 0 END > 0
            AND _all.bytes + _op.bytes - CASE WHEN _there THEN _held.bytes ELSE 0 END > _op.tenant_bytes
            THEN 'tenant_bytes'
        END;
        EXIT WHEN _limit IS NULL;
        -- What has expired and is not swept yet still counts: it goes before anything is refused for it.
        SELECT * INTO _old FROM arqon_keys
          WHERE space = _op.space AND tenant = _op.tenant AND expires_at <= _now LIMIT 1;
        EXIT WHEN NOT FOUND;
        PERFORM arqon_remove(_old, 'expire', _now);
      END LOOP;
      IF _limit IS NOT NULL THEN
        _answers := _answers || json_build_array('full', _limit);
        CONTINUE;
      END IF;
    END IF;
    IF _same THEN
      PERFORM arqon_charge(_op.space, _op.tenant, _owner, 0, _op.bytes - _held.bytes);
    ELSE
      IF _there THEN PERFORM arqon_charge(_op.space, _op.tenant, _held.owner, -1, -_held.bytes); END IF;
      PERFORM arqon_charge(_op.space, _op.tenant, _owner, 1, _op.bytes);
    END IF;
    UPDATE arqon_spaces
      SET version = CASE WHEN _op.version IS NULL THEN version + 1 ELSE greatest(version, _op.version) END
      WHERE space = _op.space AND tenant = _op.tenant
      RETURNING coalesce(_op.version, version) INTO _version;
    INSERT INTO arqon_keys (space, tenant, namespace, key, value, version, expires_at, bytes, owner)
      VALUES (_op.space, _op.tenant, _op.namespace, _op.key, _op.value, _version, _now + ceil(_op.ttl_ms)::bigint,
        _op.bytes, _owner)
      ON CONFLICT (space, tenant, namespace, key) DO UPDATE SET value = excluded.value, version = excluded.version,
        expires_at = excluded.expires_at, bytes = excluded.bytes, owner = excluded.owner;
    INSERT INTO arqon_changes (at, space, tenant, namespace, key, operation, version, value)
      VALUES (_now, _op.space, _op.tenant, _op.namespace, _op.key, 'set', _version, _op.value);
    _answers := _answers || json_build_array(_version, (NOT _there)::integer);
  END LOOP;
  _answer := array_to_json(_answers)::text;
  INSERT INTO arqon_answers (tag, answer, at) VALUES (_tag, _answer, _now);
  RETURN _answer;
END $$;

-- Takes at most `_most` keys away that have expired; answers how many there were.
CREATE OR REPLACE FUNCTION arqon_expire(_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
  _now bigint := arqon_now();
  _due arqon_keys[];
  _one arqon_keys;
  _count integer := 0;
BEGIN
  SELECT array_agg(d.k) INTO _due FROM (
    SELECT k FROM arqon_keys k WHERE k.expires_at <= _now ORDER BY k.expires_at LIMIT _most
  ) d;
  IF _due IS NULL THEN RETURN 0; END IF;
  PERFORM arqon_lock_spaces(array_agg(k.space), array_agg(k.tenant)) FROM unnest(_due) k;
  -- Looked up again: another node may have been faster, or the key was set anew.
  FOR _one IN
    SELECT k.* FROM unnest(_due) d JOIN arqon_keys k
      ON k.space = d.space AND k.tenant = d.tenant AND k.namespace = d.namespace AND k.key = d.key
    WHERE k.expires_at <= _now
  LOOP
    PERFORM arqon_remove(_one, 'expire', _now);
    _count := _count + 1;
  END LOOP;
  RETURN _count;
END $$;
