-- Live tasks, ended tasks, what is counted about both, and the nodes that share them.
--
-- Everything stands in the schema taskscheduler and is made by the role that the server connects
-- as. Times are milliseconds since 1970 in UTC, durations name their unit. Statuses and bands are
-- the codes of the program: 0 PENDING, 1 SCHEDULED, 2 QUEUED, 3 RUNNING, 4 RETRYING, 5 PAUSED,
-- 6 COMPLETED, 7 FAILED, 8 CANCELLED; 0 CRITICAL to 4 BULK.

-- What is decided once for this store.
CREATE TABLE taskscheduler.meta (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

-- signing_key: what tokens are signed with. A random uuid is 122 bits of the server's own entropy.
INSERT INTO taskscheduler.meta (name, value)
VALUES ('signing_key', uuid_send(gen_random_uuid()));

-- Ids of tasks. Nodes take them in blocks (see take_ids), enqueue() one by one.
CREATE SEQUENCE taskscheduler.task_ids MAXVALUE 9007199254740991;

CREATE TABLE taskscheduler.task_types (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- The lives of nodes. Rows that a node holds carry the number of its life. Each batch and each claim
-- begins by locking its own row here in share mode, if that still says what the node believes; so
-- whoever marks a life dead, or raises its writer, waits for the batch under way, and no later one
-- begins. `writer` rises with each connection that writes for this life.
CREATE TABLE taskscheduler.nodes (
    incarnation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id     uuid NOT NULL,
    name        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('alive', 'dead', 'released')),
    writer      integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
) WITH (fillfactor = 50);

CREATE INDEX nodes_alive ON taskscheduler.nodes (node_id) WHERE state = 'alive';

-- Until when a living node is believed to live, by the server's clock. Apart from nodes, so that
-- renewing never waits for a batch.
CREATE TABLE taskscheduler.node_leases (
    incarnation bigint PRIMARY KEY
        REFERENCES taskscheduler.nodes (incarnation) ON DELETE CASCADE,
    renewed_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Unfinished tasks. owner: the life that holds the row, null for a free one. What is long stands
-- last. Rows die quickly here, so the table is vacuumed by their number, not by their share.
CREATE TABLE taskscheduler.tasks (
    id               bigint PRIMARY KEY,
    owner            bigint,
    due              bigint NOT NULL,
    epoch            bigint NOT NULL,
    ready_at         bigint NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    leased_until     bigint,
    scheduled_for    bigint,
    retry_delay_ms   bigint NOT NULL,
    retry_multiplier double precision NOT NULL,
    run_started_at   bigint,
    run_took_us      bigint,
    run_waited_us    bigint,
    type_id          integer NOT NULL,
    version          integer NOT NULL,
    retries          integer NOT NULL,
    timeout_s        integer NOT NULL,
    retries_max      integer NOT NULL,
    weight           integer NOT NULL,
    status           smallint NOT NULL CHECK (status BETWEEN 0 AND 5),
    band             smallint NOT NULL CHECK (band BETWEEN 0 AND 4),
    suspicion        smallint NOT NULL,
    error_kind       smallint,
    progress         smallint,
    payload_form     smallint,
    result_form      smallint,
    cancel_requested boolean NOT NULL,
    name             text COLLATE "C" NOT NULL,
    description      text,
    tags             text,
    unique_key       text,
    error            text,
    worker           text COLLATE "C",
    result           bytea,
    payload          bytea
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_vacuum_cost_delay = 0
);

-- Rows that nobody holds, in the order of claims.
CREATE INDEX tasks_free ON taskscheduler.tasks (band, type_id, due, id)
    WHERE owner IS NULL AND status <> 3 AND status <> 5;

-- Rows that workers outside lease: they run, nobody holds them, and they are due when the lease or
-- the attempt ends.
CREATE INDEX tasks_leased ON taskscheduler.tasks (due, id) WHERE owner IS NULL AND status = 3;

-- What a node holds: all that its next life, or whoever finds it dead, has to look at.
CREATE INDEX tasks_held ON taskscheduler.tasks (owner, id) WHERE owner IS NOT NULL;

-- What waits for a time, runs or is paused: what lists and the view of scheduled tasks need. Queued
-- tasks, the bulk, are not in here.
CREATE INDEX tasks_status ON taskscheduler.tasks (status, band, due, id) WHERE status <> 2;

-- Ended tasks: rows come, are read, and go with their retention; they do not change. One partition
-- for each ending and day, so that retention drops whole tables.
CREATE TABLE taskscheduler.task_history (
    id               bigint NOT NULL,
    epoch            bigint NOT NULL,
    ready_at         bigint NOT NULL,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    leased_until     bigint,
    completed_at     bigint,
    scheduled_for    bigint,
    retry_delay_ms   bigint NOT NULL,
    retry_multiplier double precision NOT NULL,
    run_started_at   bigint,
    run_took_us      bigint,
    run_waited_us    bigint,
    type_id          integer NOT NULL,
    version          integer NOT NULL,
    retries          integer NOT NULL,
    timeout_s        integer NOT NULL,
    retries_max      integer NOT NULL,
    ended_day        integer NOT NULL,
    status           smallint NOT NULL CHECK (status BETWEEN 6 AND 8),
    band             smallint NOT NULL CHECK (band BETWEEN 0 AND 4),
    suspicion        smallint NOT NULL,
    error_kind       smallint,
    progress         smallint,
    payload_form     smallint,
    result_form      smallint,
    cancel_requested boolean NOT NULL,
    name             text COLLATE "C" NOT NULL,
    description      text,
    tags             text,
    unique_key       text,
    error            text,
    worker           text COLLATE "C",
    result           bytea,
    payload          bytea
) PARTITION BY RANGE (status, ended_day);

CREATE INDEX task_history_id ON taskscheduler.task_history (id);

-- The partitions there are. Counts of a day that is not in here count nothing.
CREATE TABLE taskscheduler.history_days (
    status smallint NOT NULL,
    day    integer NOT NULL,
    PRIMARY KEY (status, day)
);

-- How many rows of tasks and task_history there are of each sort. `day` is the day of the end,
-- counted from 1970, and nought for live tasks. Batches never write here; see count_deltas.
CREATE TABLE taskscheduler.counters (
    status  smallint NOT NULL,
    band    smallint NOT NULL,
    type_id integer NOT NULL,
    day     integer NOT NULL,
    tasks   bigint NOT NULL,
    PRIMARY KEY (status, band, type_id, day)
) WITH (fillfactor = 70);

-- What happened in each minute since 1970, in the program's own form.
CREATE TABLE taskscheduler.minutes (
    minute bigint PRIMARY KEY,
    bucket bytea NOT NULL
) WITH (fillfactor = 50);

-- What each batch does to the counts: one new row, whatever the batch holds, so no two batches ever
-- wait for each other. The row is also the proof that its batch was committed: `batch` is the
-- node's own number of it, and `answer` what became of its units, where that is more than "applied".
-- Folded into counters and minutes about once a second; whoever reads adds the rest. `counts` holds
-- fives: status, band, type, day, by how much.
CREATE TABLE taskscheduler.count_deltas (
    incarnation bigint NOT NULL,
    seq         bigint NOT NULL,
    batch       bigint NOT NULL,
    counts      bigint[] NOT NULL,
    minutes     bytea NOT NULL,
    answer      bytea,
    PRIMARY KEY (incarnation, seq)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Up to which batch the deltas of each life are folded. Life nought is that of enqueue(), whose
-- deltas come in no order and are folded as they are found.
CREATE TABLE taskscheduler.folds (
    incarnation bigint PRIMARY KEY,
    seq         bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO taskscheduler.folds VALUES (0, 0);

-- Clients' idempotency keys, as digests, with what they led to.
CREATE TABLE taskscheduler.idempotency_keys (
    key     bytea PRIMARY KEY,
    body    bytea NOT NULL,
    used_at bigint NOT NULL,
    created boolean NOT NULL,
    ids     bytea NOT NULL
);

CREATE INDEX idempotency_keys_used_at ON taskscheduler.idempotency_keys (used_at);

-- The unfinished task that has a unique key.
CREATE TABLE taskscheduler.unique_keys (
    key     text COLLATE "C" PRIMARY KEY,
    task_id bigint NOT NULL
);

-- What other nodes wish of a task that this life holds: only the holder changes a held row. `op`
-- and `detail` are the program's own; the wish is deleted in the transaction that carries it out.
CREATE TABLE taskscheduler.task_inbox (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node      bigint NOT NULL,
    task_id   bigint NOT NULL,
    epoch     bigint NOT NULL,
    op        smallint NOT NULL,
    detail    bytea,
    wished_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX task_inbox_node ON taskscheduler.task_inbox (node, id);

-- Takes the next `count` ids, in one stretch. The lock is held for the blink of this call and not
-- for the caller's transaction; enqueue() takes it in share mode.
CREATE FUNCTION taskscheduler.take_ids(count bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
BEGIN
    PERFORM pg_advisory_lock(7308332, 1);
    first := nextval('taskscheduler.task_ids');
    IF count > 1 THEN
        PERFORM setval('taskscheduler.task_ids', first + count - 1);
    END IF;
    PERFORM pg_advisory_unlock(7308332, 1);
    RETURN first;
EXCEPTION WHEN OTHERS THEN
    PERFORM pg_advisory_unlock(7308332, 1);
    RAISE;
END
$$;

-- For applications: a task that comes into being with the caller's own transaction, or not at all.
-- The row is free and is found by the next claim; its id is returned, or that of the unfinished task
-- that has the unique key. A role needs USAGE on the schema and EXECUTE on the function.
CREATE FUNCTION taskscheduler.enqueue(
    task_type      text,
    task_name      text,
    payload        json DEFAULT NULL,
    priority       text DEFAULT 'MEDIUM',
    run_at         timestamptz DEFAULT NULL,
    timeout_s      integer DEFAULT 300,
    max_retries    integer DEFAULT 3,
    retry_delay_ms bigint DEFAULT 5000,
    unique_key     text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_ms  bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    due_ms  bigint := (extract(epoch FROM run_at) * 1000)::bigint;
    band_no integer := array_position(ARRAY['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'BULK'],
                                      upper(priority)) - 1;
    body    text := CASE json_typeof(payload) WHEN 'string' THEN payload #>> '{}'
                                              ELSE payload::text END;
    later   boolean := coalesce(due_ms > now_ms, false);
    type_no integer;
    task_no bigint;
    holder  bigint;
BEGIN
    IF coalesce(task_type, '') = '' OR length(task_type) > 100 THEN
        RAISE EXCEPTION 'task_type must have 1 to 100 characters' USING ERRCODE = '22023';
    ELSIF coalesce(task_name, '') = '' OR length(task_name) > 255 THEN
        RAISE EXCEPTION 'task_name must have 1 to 255 characters' USING ERRCODE = '22023';
    ELSIF band_no IS NULL THEN
        RAISE EXCEPTION 'priority must be one of CRITICAL, HIGH, MEDIUM, LOW, BULK'
            USING ERRCODE = '22023';
    ELSIF octet_length(body) > 1048576 THEN
        RAISE EXCEPTION 'payload must have at most 1 MiB' USING ERRCODE = '22023';
    ELSIF timeout_s IS NULL OR timeout_s NOT BETWEEN 1 AND 86400
        OR max_retries IS NULL OR max_retries NOT BETWEEN 0 AND 1000
        OR retry_delay_ms IS NULL OR retry_delay_ms NOT BETWEEN 0 AND 3600000 THEN
        RAISE EXCEPTION 'timeout_s, max_retries or retry_delay_ms is out of range'
            USING ERRCODE = '22023';
    ELSIF length(unique_key) > 255 OR btrim(unique_key) = '' THEN
        RAISE EXCEPTION 'unique_key must have 1 to 255 characters' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_lock_shared(7308332, 1);
    task_no := nextval('taskscheduler.task_ids');
    PERFORM pg_advisory_unlock_shared(7308332, 1);
    IF unique_key IS NOT NULL THEN
        INSERT INTO taskscheduler.unique_keys AS held (key, task_id) VALUES (unique_key, task_no)
            ON CONFLICT DO NOTHING;
        SELECT held.task_id INTO holder FROM taskscheduler.unique_keys held
            WHERE held.key = unique_key;
        IF holder <> task_no THEN
            RETURN holder;
        END IF;
    END IF;
    SELECT known.id INTO type_no FROM taskscheduler.task_types known WHERE known.name = task_type;
    IF type_no IS NULL THEN
        INSERT INTO taskscheduler.task_types (name) VALUES (task_type) ON CONFLICT DO NOTHING;
        SELECT known.id INTO type_no FROM taskscheduler.task_types known
            WHERE known.name = task_type;
    END IF;
    INSERT INTO taskscheduler.tasks (id, due, epoch, ready_at, created_at, updated_at,
        scheduled_for, retry_delay_ms, retry_multiplier, type_id, version, retries, timeout_s,
        retries_max, weight, status, band, suspicion, payload_form, cancel_requested, name,
        unique_key, payload)
    VALUES (task_no, CASE WHEN later THEN due_ms ELSE now_ms END, 0,
        CASE WHEN later THEN due_ms ELSE now_ms END, now_ms, now_ms, due_ms, retry_delay_ms, 2.0,
        type_no, 1, 0, timeout_s, max_retries, 300 + coalesce(octet_length(body), 0),
        later::integer, band_no, 0,
        CASE WHEN body IS NULL THEN NULL WHEN json_typeof(payload) = 'string' THEN 0 ELSE 1 END,
        false, task_name, unique_key, convert_to(body, 'UTF8'));
    -- The minute with one submission in the program's form: numbers of 8 bytes, then two empty
    -- summaries of four numbers and a length of 2 bytes.
    INSERT INTO taskscheduler.count_deltas (incarnation, seq, batch, counts, minutes)
    VALUES (0, task_no, 0, ARRAY[later::integer, band_no, type_no, 0, 1],
        int8send(now_ms / 60000) || int8send(1) || decode(repeat('00', 32 + 34 + 34), 'hex'));
    RETURN task_no;
END
$$;

REVOKE ALL ON FUNCTION taskscheduler.enqueue FROM PUBLIC;
REVOKE ALL ON FUNCTION taskscheduler.take_ids FROM PUBLIC;
