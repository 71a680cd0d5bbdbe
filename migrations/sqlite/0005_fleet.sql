-- How a trainer failed is seen by every process: a lease that was given back by a failure says which kind, and until when.
ALTER TABLE leases ADD COLUMN failure TEXT;
ALTER TABLE leases ADD COLUMN retry_at INTEGER NOT NULL DEFAULT 0;
