-- Corrections: examples can be deleted and replaced, and whoever holds copies of rows follows the corrections by number.

-- When the example was deleted; null: it is there. A tombstone keeps its place and its id; its row is empty, and its label
-- is the empty class, because the first migration asks every row for exactly one label.
ALTER TABLE examples ADD COLUMN deleted_at BIGINT;

CREATE TABLE corrections (
    learner_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX corrections_place ON corrections (learner_id, number);
