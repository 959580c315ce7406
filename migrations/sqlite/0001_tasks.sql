-- Live tasks, ended tasks, and what is counted about both.
--
-- Times are milliseconds since 1970 in UTC, durations name their unit. Statuses and bands are the
-- codes of the program: 0 PENDING, 1 SCHEDULED, 2 QUEUED, 3 RUNNING, 4 RETRYING, 5 PAUSED,
-- 6 COMPLETED, 7 FAILED, 8 CANCELLED; 0 CRITICAL to 4 BULK.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- next_id: the next id to give out. incarnation: how often a server has taken this store over;
-- rows it holds carry its number. released: the incarnation that gave its rows back. signing_key:
-- what tokens are signed with, in two halves.
INSERT INTO meta (name, value) VALUES
    ('next_id', 1), ('incarnation', 0), ('released', 0),
    ('signing_key_1', random()), ('signing_key_2', random());

CREATE TABLE task_types (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- Unfinished tasks. What is long stands last, so that a scan never reads it.
CREATE TABLE tasks (
    id               INTEGER PRIMARY KEY,
    owner            INTEGER,
    due              INTEGER NOT NULL,
    status           INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
    band             INTEGER NOT NULL CHECK (band BETWEEN 0 AND 4),
    type_id          INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    ready_at         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    retries          INTEGER NOT NULL,
    suspicion        INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    leased_until     INTEGER,
    worker           TEXT,
    progress         INTEGER,
    completed_at     INTEGER,
    scheduled_for    INTEGER,
    timeout_s        INTEGER NOT NULL,
    retries_max      INTEGER NOT NULL,
    retry_delay_ms   INTEGER NOT NULL,
    retry_multiplier REAL NOT NULL,
    run_started_at   INTEGER,
    run_took_us      INTEGER,
    run_waited_us    INTEGER,
    error_kind       INTEGER,
    name             TEXT NOT NULL,
    description      TEXT,
    tags             TEXT,
    unique_key       TEXT,
    error            TEXT,
    payload_form     INTEGER,
    result_form      INTEGER,
    result           TEXT,
    payload          TEXT
) STRICT;

-- Rows that nobody holds, in the order of claims; the id follows by itself. A row that the server
-- takes straight into memory is never in here, so the usual way of a task costs no index.
CREATE INDEX tasks_free ON tasks (band, type_id, due)
    WHERE owner IS NULL AND status <> 3 AND status <> 5;

-- Rows that workers outside lease: they run, nobody holds them, and they are due when the lease or
-- the attempt ends.
CREATE INDEX tasks_leased ON tasks (due) WHERE owner IS NULL AND status = 3;

-- What waits for a time, runs or is paused: what lists and the view of scheduled tasks need. Queued
-- tasks, the bulk, are not in here.
CREATE INDEX tasks_status ON tasks (status, band, due) WHERE status <> 2;

-- Ended tasks: rows come, are read, and go with their retention; they do not change.
CREATE TABLE task_history (
    id               INTEGER PRIMARY KEY,
    status           INTEGER NOT NULL CHECK (status BETWEEN 6 AND 8),
    band             INTEGER NOT NULL CHECK (band BETWEEN 0 AND 4),
    type_id          INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    ready_at         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    retries          INTEGER NOT NULL,
    suspicion        INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    leased_until     INTEGER,
    worker           TEXT,
    progress         INTEGER,
    completed_at     INTEGER,
    scheduled_for    INTEGER,
    timeout_s        INTEGER NOT NULL,
    retries_max      INTEGER NOT NULL,
    retry_delay_ms   INTEGER NOT NULL,
    retry_multiplier REAL NOT NULL,
    run_started_at   INTEGER,
    run_took_us      INTEGER,
    run_waited_us    INTEGER,
    error_kind       INTEGER,
    name             TEXT NOT NULL,
    description      TEXT,
    tags             TEXT,
    unique_key       TEXT,
    error            TEXT,
    payload_form     INTEGER,
    result_form      INTEGER,
    result           TEXT,
    payload          TEXT
) STRICT;

CREATE INDEX task_history_status ON task_history (status) WHERE status <> 6;

-- How many rows of task_history lie in each stretch of 4,096 ids, and when the first of them can
-- have ended: what retention needs to find old rows without an index over all of them. `oldest` may
-- be too early, never too late.
CREATE TABLE history_blocks (
    block  INTEGER NOT NULL,
    status INTEGER NOT NULL,
    tasks  INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    PRIMARY KEY (block, status)
) STRICT, WITHOUT ROWID;

-- How many rows of tasks and task_history there are of each sort.
CREATE TABLE counters (
    status  INTEGER NOT NULL,
    band    INTEGER NOT NULL,
    type_id INTEGER NOT NULL,
    tasks   INTEGER NOT NULL,
    PRIMARY KEY (status, band, type_id)
) STRICT, WITHOUT ROWID;

-- What happened in each minute since 1970.
CREATE TABLE minutes (
    minute    INTEGER PRIMARY KEY,
    submitted INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    retried   INTEGER NOT NULL,
    runs        INTEGER NOT NULL,
    run_sum_us  INTEGER NOT NULL,
    run_min_us  INTEGER NOT NULL,
    run_max_us  INTEGER NOT NULL,
    run_bars    BLOB NOT NULL,
    waits       INTEGER NOT NULL,
    wait_sum_us INTEGER NOT NULL,
    wait_min_us INTEGER NOT NULL,
    wait_max_us INTEGER NOT NULL,
    wait_bars   BLOB NOT NULL
) STRICT;

-- Clients' idempotency keys, as digests, in the order they came, which is the order they go.
CREATE TABLE idempotency_keys (
    seq     INTEGER PRIMARY KEY,
    key     BLOB NOT NULL UNIQUE,
    body    BLOB NOT NULL,
    used_at INTEGER NOT NULL,
    created INTEGER NOT NULL,
    ids     BLOB NOT NULL
) STRICT;

-- The unfinished task that has a unique key.
CREATE TABLE unique_keys (
    key     TEXT PRIMARY KEY,
    task_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
