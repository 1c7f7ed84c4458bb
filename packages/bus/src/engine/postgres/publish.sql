-- Publishes an event with the transaction that calls this: it is delivered after that has committed, and was never there
-- if it is rolled back. Answers the event's id. The same id is stored once in 120 s.
--
-- It runs as the bus's own role, so that an application needs nothing but the right to execute it.
CREATE OR REPLACE FUNCTION arqon_publish(tenant text, room text, channel text, payload jsonb, id text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = @schema@, pg_temp AS $$
DECLARE
  _id text := coalesce(id, 'arq_' || replace(gen_random_uuid()::text, '-', ''));
  _text text := payload::text;
BEGIN
  IF tenant IS NULL OR tenant !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' THEN
    RAISE EXCEPTION 'arqon_publish: a tenant is 1-128 letters, digits, ".", "_", "-", and starts with a letter or digit.'
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF room IS NULL OR room !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' THEN
    RAISE EXCEPTION 'arqon_publish: a room is 1-128 letters, digits, ".", "_", "-", and starts with a letter or digit.'
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF channel IS NULL OR channel !~ '^([A-Za-z0-9][A-Za-z0-9._/-]{0,127}|\*)$' THEN
    RAISE EXCEPTION 'arqon_publish: a channel is 1-128 letters, digits, ".", "_", "-", "/", and starts with a letter or digit; "*" is the whole room.'
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF _id !~ '^arq_[A-Za-z0-9_-]{1,124}$' THEN
    RAISE EXCEPTION 'arqon_publish: an id is "arq_" and 1-124 letters, digits, "_", "-".'
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
    RAISE EXCEPTION 'arqon_publish: a payload is a JSON object.' USING ERRCODE = 'invalid_parameter_value';
  ELSIF octet_length(_text) > 1048576 THEN
    RAISE EXCEPTION 'arqon_publish: a payload has at most 1048576 bytes; this one has %.', octet_length(_text)
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF jsonb_path_exists(payload, 'strict $.**{64 to last} ? (@.type() == "object" || @.type() == "array")') THEN
    RAISE EXCEPTION 'arqon_publish: a payload is at most 64 levels deep.' USING ERRCODE = 'invalid_parameter_value';
  ELSIF jsonb_path_exists(payload, 'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))') THEN
    RAISE EXCEPTION 'arqon_publish: a number is too large for JSON in JavaScript.' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO arqon_outbox (time, tenant, room, channel, id, payload)
    VALUES (arqon_now(), tenant, room, channel, _id, _text);
  RETURN _id;
END $$;
REVOKE ALL ON FUNCTION arqon_publish(text, text, text, jsonb, text) FROM PUBLIC;
