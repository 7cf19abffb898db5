-- The keys of subjects, wrapped by a secret that is not in the database. What was encrypted under a key that was destroyed
-- cannot be read again; the row stays, so that the subject does not get another one.

CREATE TABLE subject_keys (
    subject_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    wrapped bytea,
    erased_at timestamptz CHECK ((erased_at IS NULL) = (wrapped IS NOT NULL)),
    erased_by text CHECK ((erased_by IS NULL) = (erased_at IS NULL)),
    destroyed_at timestamptz CHECK ((destroyed_at IS NULL) = (erased_at IS NULL))
);
CREATE INDEX subject_keys_destroyed_at ON subject_keys (destroyed_at) WHERE destroyed_at IS NOT NULL;

-- A destroyed key stays destroyed, whatever the application does.
CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the key of an erased subject is gone for good'
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER erased_for_good BEFORE UPDATE ON subject_keys
    FOR EACH ROW WHEN (OLD.erased_at IS NOT NULL) EXECUTE FUNCTION refuse_revival();

GRANT SELECT, INSERT ON subject_keys TO {application_role};
GRANT UPDATE (wrapped, erased_at, erased_by, destroyed_at) ON subject_keys TO {application_role};
