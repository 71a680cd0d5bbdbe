-- Blobs may lie in an object store: which places there are, which blob is in which, and whose objects are ours.

-- The object stores that blobs have been written to. A folder or bucket that moved is one changed row.
CREATE TABLE blob_places (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL UNIQUE
) STRICT;

-- Absent: the bytes are the blob's parts in this database.
ALTER TABLE blobs ADD COLUMN place_id INTEGER REFERENCES blob_places (id);

-- One row. The objects of this database lie below `namespace`, so that databases may share a bucket; until `kept_until` no
-- object is deleted, because a backup is reading.
CREATE TABLE object_space (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    namespace TEXT NOT NULL,
    kept_until INTEGER NOT NULL
) STRICT;
INSERT INTO object_space (id, namespace, kept_until) VALUES (1, lower(hex(randomblob(16))), 0);
