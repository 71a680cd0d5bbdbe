-- The first tables. Times are microseconds since 1970 in UTC, documents are JSON text, digests are 32 bytes of SHA-256.

-- "Pern": tells this file from the SQLite files of other programs.
PRAGMA application_id = 1348825710;

-- AUTOINCREMENT: a deleted learner's number never comes again.
CREATE TABLE learners (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Apart from `learners`, because every ingest rewrites it and documents can be long.
CREATE TABLE streams (
    learner_id INTEGER PRIMARY KEY,
    head INTEGER NOT NULL
) STRICT;

-- Learners that are gone, whose rows are still being deleted.
CREATE TABLE deleted_learners (
    learner_id INTEGER PRIMARY KEY
) STRICT;

-- A rowid table: rows of several hundred bytes make a WITHOUT ROWID tree deep (its inner pages hold whole rows; SQLite
-- advises it below a twentieth of a page), and rowids follow the order of commits, so a learner's rows lie together.
-- The row comes last, so that reading labels never follows its overflow pages.
CREATE TABLE examples (
    learner_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    example_id TEXT,
    label_class TEXT,
    label_number REAL,
    created_at INTEGER NOT NULL,
    row BLOB NOT NULL,
    CHECK ((label_class IS NULL) <> (label_number IS NULL))
) STRICT;
CREATE UNIQUE INDEX examples_place ON examples (learner_id, seq);
CREATE UNIQUE INDEX examples_id ON examples (learner_id, example_id) WHERE example_id IS NOT NULL;

CREATE TABLE idempotency_keys (
    learner_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX idempotency_keys_key ON idempotency_keys (learner_id, key);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- A blob is written under a number of its own and becomes the one of its digest when it is complete. `claims` counts
-- the puts that no commit has named yet.
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    claims INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX blobs_complete ON blobs (digest) WHERE complete = 1;

CREATE TABLE blob_parts (
    blob_id INTEGER NOT NULL,
    part INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX blob_parts_place ON blob_parts (blob_id, part);

CREATE TABLE versions (
    learner_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    parent INTEGER,
    cause TEXT NOT NULL,
    trained_seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    metrics TEXT NOT NULL,
    digest BLOB NOT NULL,
    weights_kept INTEGER NOT NULL,
    model TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX versions_place ON versions (learner_id, version);
CREATE INDEX versions_weights ON versions (digest) WHERE weights_kept = 1;

CREATE TABLE aliases (
    learner_id INTEGER NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (learner_id, alias),
    FOREIGN KEY (learner_id, version) REFERENCES versions (learner_id, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_version ON aliases (learner_id, version);

CREATE TABLE checkpoints (
    learner_id INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    trained_seq INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    weights BLOB NOT NULL,
    optimizer BLOB NOT NULL,
    model TEXT NOT NULL,
    progress TEXT NOT NULL
) STRICT;
CREATE INDEX checkpoints_weights ON checkpoints (weights);
CREATE INDEX checkpoints_optimizer ON checkpoints (optimizer);

-- A released lease keeps its row, without an owner, so that the next token is larger.
CREATE TABLE leases (
    learner_id INTEGER PRIMARY KEY,
    owner TEXT,
    token INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE journal (
    learner_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_place ON journal (learner_id, position);
CREATE INDEX journal_kind ON journal (learner_id, kind, position);

CREATE TABLE tickets (
    learner_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    growth TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    event TEXT,
    refusal TEXT,
    failure TEXT
) STRICT;
CREATE UNIQUE INDEX tickets_place ON tickets (learner_id, id);
CREATE INDEX tickets_planned ON tickets (learner_id, id) WHERE state = 'planned';
