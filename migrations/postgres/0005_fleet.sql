-- How a trainer failed is seen by every process: a lease that was given back by a failure says which kind, and until when.
ALTER TABLE leases ADD COLUMN failure TEXT, ADD COLUMN retry_at BIGINT NOT NULL DEFAULT 0;
