-- Frames: the read models as they stood at positions of the log, to fold a past moment from. Derived: they may be
-- thrown away, and are made again.

CREATE TABLE frames (
    position bigint PRIMARY KEY,
    -- What the content looks like; another release may write it otherwise.
    form text NOT NULL,
    -- Taken of the live read models, or else folded from the frames before it.
    live boolean NOT NULL,
    -- Whether what is folded from the frames before equals what the live read models were; null: not compared yet.
    equal boolean,
    -- How much the parts hold.
    open_tasks bigint NOT NULL DEFAULT 0,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX frames_unproven ON frames (position) WHERE live AND equal IS NULL;

-- One for each tenant of which something happened since the frames before.
CREATE TABLE frame_parts (
    tenant text NOT NULL,
    position bigint NOT NULL REFERENCES frames ON DELETE CASCADE,
    digest text NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (tenant, position)
);
CREATE INDEX frame_parts_position ON frame_parts (position);
-- It is compressed already.
ALTER TABLE frame_parts ALTER COLUMN content SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON frames, frame_parts TO {application_role};
