-- Operators move, pin and roll back aliases: every alias gets a generation, a pin and a history of who moved it and why; a
-- checkpoint says which version its trainer accepted last, since `live` may be an operator's choice from now on.

-- `generation` is the alias's newest place in its history. `waiting` is what the trainer accepted while it was pinned.
ALTER TABLE aliases
    ADD COLUMN generation BIGINT NOT NULL DEFAULT 1,
    ADD COLUMN pinned BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN waiting BIGINT;

-- Rows are added and never changed; those of a deleted alias stay, so that its generations never come again.
CREATE TABLE alias_history (
    learner_id BIGINT NOT NULL,
    alias TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    action TEXT NOT NULL,
    from_version BIGINT,
    to_version BIGINT,
    pinned BOOLEAN NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX alias_history_place ON alias_history (learner_id, alias, generation);
CREATE INDEX alias_history_time ON alias_history (learner_id, alias, at);

-- `live` moved in the commit that made its version.
INSERT INTO alias_history (learner_id, alias, generation, action, to_version, pinned, actor, reason, at)
SELECT learner_id, alias, 1, 'created', version, FALSE, 'trainer', 'from before histories were kept', created_at
FROM aliases JOIN versions USING (learner_id, version);

ALTER TABLE checkpoints ADD COLUMN accepted BIGINT NOT NULL DEFAULT 1;
UPDATE checkpoints SET accepted = aliases.version
FROM aliases WHERE aliases.learner_id = checkpoints.learner_id AND alias = 'live';

-- From a version to the growth that made it. Before its version an event has only numbers and names of ours, so the first
-- match is the right one; a cast to JSON would not do, since what is cast cannot be indexed on every server.
CREATE INDEX journal_growths ON journal (learner_id, (CAST(substring(event FROM '"version":([0-9]+)') AS BIGINT)))
WHERE kind = 'grown';
