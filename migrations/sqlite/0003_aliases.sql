-- Operators move, pin and roll back aliases: every alias gets a generation, a pin and a history of who moved it and why; a
-- checkpoint says which version its trainer accepted last, since `live` may be an operator's choice from now on.

-- `generation` is the alias's newest place in its history. `waiting` is what the trainer accepted while it was pinned.
ALTER TABLE aliases ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE aliases ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aliases ADD COLUMN waiting INTEGER;

-- Rows are added and never changed; those of a deleted alias stay, so that its generations never come again.
CREATE TABLE alias_history (
    learner_id INTEGER NOT NULL,
    alias TEXT NOT NULL,
    generation INTEGER NOT NULL,
    action TEXT NOT NULL,
    from_version INTEGER,
    to_version INTEGER,
    pinned INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alias_history_place ON alias_history (learner_id, alias, generation);
CREATE INDEX alias_history_time ON alias_history (learner_id, alias, at);

-- `live` moved in the commit that made its version.
INSERT INTO alias_history (learner_id, alias, generation, action, to_version, pinned, actor, reason, at)
SELECT learner_id, alias, 1, 'created', version, 0, 'trainer', 'from before histories were kept',
    (SELECT created_at FROM versions WHERE versions.learner_id = aliases.learner_id AND versions.version = aliases.version)
FROM aliases;

ALTER TABLE checkpoints ADD COLUMN accepted INTEGER NOT NULL DEFAULT 1;
UPDATE checkpoints SET accepted = COALESCE(
    (SELECT version FROM aliases WHERE aliases.learner_id = checkpoints.learner_id AND alias = 'live'), 1
);

-- From a version to the growth that made it.
CREATE INDEX journal_growths ON journal (learner_id, json_extract(event, '$.version')) WHERE kind = 'grown';
