-- So many tasks from their submission to their end, four events each, by no way that the product has.
INSERT INTO musterroll.events
SELECT nextval('musterroll.positions'), task.id, v.version, v.topic, convert_to(CASE v.version
    WHEN 1 THEN format('{"timestamp":"2026-11-23T12:00:00.%%s+00:00","tenant":"default","kind":"review","input":{"file":"src/%%s.py"},"requires":["review"],"priority":5,"max_attempts":3,"timeout_seconds":300,"not_before":null,"deadline":null,"labels":{},"parent_id":null,"root_id":null,"depth":0,"approval":false,"subject_id":null,"class_version":2}', at.micros, md5(n::text))
    WHEN 2 THEN format('{"timestamp":"2026-11-23T12:00:01.%%s+00:00","agent_id":"%%s","attempt":1,"lease_expires_at":"2026-11-23T12:00:31.%%s+00:00","decision":{"policy":"weighted_load","policy_version":1,"seed":%%s,"candidates":[{"agent_id":"%%s","cpu":%%s,"memory":41.5,"queue":1,"slots":4,"score":22.5}],"winner":"%%s"}}', at.micros, agent.id, at.micros, n * 7919 %% 1000003, agent.id, n %% 997 / 10.0, agent.id)
    WHEN 3 THEN format('{"timestamp":"2026-11-23T12:00:02.%%s+00:00","attempt":1}', at.micros)
    ELSE format('{"timestamp":"2026-11-23T12:00:03.%%s+00:00","attempt":1,"agent_id":"%%s","result":{"verdict":"fine","score":%%s}}', at.micros, agent.id, n %% 101 / 100.0) END, 'UTF8'),
    'default', CASE v.version WHEN 1 THEN 'user/admin' WHEN 2 THEN 'process/dispatcher' ELSE 'agent/' || agent.id END,
    gen_random_uuid(), task.id, NULL, NULL, clock_timestamp()
FROM generate_series(%(after)s::bigint + 1, %(after)s::bigint + %(tasks)s) AS n
CROSS JOIN LATERAL (SELECT md5('task' || n)::uuid AS id) AS task
CROSS JOIN LATERAL (SELECT md5('agent' || n %% 50)::uuid AS id) AS agent
CROSS JOIN LATERAL (SELECT lpad((n * 613 %% 1000000)::text, 6, '0') AS micros) AS at
CROSS JOIN (VALUES (1, 'task.submitted'), (2, 'task.assigned'), (3, 'task.started'), (4, 'task.completed')) AS v (version, topic)
