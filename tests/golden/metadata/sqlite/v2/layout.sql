CREATE TABLE counter (
    id SMALLINT NOT NULL,
    last_n BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE event (
    execution_id INTEGER NOT NULL,
    kind SMALLINT NOT NULL,
    artifact_id INTEGER NOT NULL,
    path VARCHAR(500) NOT NULL,
    position INTEGER NOT NULL,
    at_us BIGINT NOT NULL,
    known_us BIGINT,
    PRIMARY KEY (execution_id, kind, artifact_id, path)
)
 WITHOUT ROWID;

CREATE TABLE imported (
    source VARCHAR(64) NOT NULL,
    code SMALLINT NOT NULL,
    their_id BIGINT NOT NULL,
    node_id INTEGER NOT NULL,
    PRIMARY KEY (source, code, their_id)
)
 WITHOUT ROWID;

CREATE TABLE life (
    uid VARCHAR(64) NOT NULL,
    host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    started_us BIGINT NOT NULL,
    beat_us BIGINT NOT NULL,
    PRIMARY KEY (uid)
)
 WITHOUT ROWID;

CREATE TABLE mark (
    id INTEGER NOT NULL,
    node_id INTEGER NOT NULL,
    verdict VARCHAR(16) NOT NULL,
    policy VARCHAR(16) NOT NULL,
    reason TEXT NOT NULL,
    principal VARCHAR(255) NOT NULL,
    at_us BIGINT NOT NULL,
    lifted_us BIGINT,
    lifted_by VARCHAR(255),
    PRIMARY KEY (id)
);

CREATE TABLE member (
    context_id INTEGER NOT NULL,
    node_id INTEGER NOT NULL,
    known_us BIGINT,
    PRIMARY KEY (context_id, node_id)
)
 WITHOUT ROWID;

CREATE TABLE namespace (
    id SMALLINT NOT NULL,
    name VARCHAR(64) NOT NULL,
    created_us BIGINT NOT NULL,
    closed BOOLEAN NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

CREATE TABLE node (
    id INTEGER NOT NULL,
    type_id INTEGER NOT NULL,
    namespace_id SMALLINT NOT NULL,
    uid BLOB NOT NULL,
    uid_text VARCHAR(64),
    name VARCHAR(512),
    external_id VARCHAR(512),
    uri TEXT,
    state SMALLINT,
    properties TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT,
    revision INTEGER NOT NULL,
    removed_us BIGINT,
    PRIMARY KEY (id)
);

CREATE TABLE node_past (
    node_id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    until_us BIGINT NOT NULL,
    delta TEXT NOT NULL,
    PRIMARY KEY (node_id, revision)
)
 WITHOUT ROWID;

CREATE TABLE parent_context (
    child_id INTEGER NOT NULL,
    parent_id INTEGER NOT NULL,
    known_us BIGINT,
    PRIMARY KEY (child_id, parent_id)
)
 WITHOUT ROWID;

CREATE TABLE property_index (
    name VARCHAR(64) NOT NULL,
    code SMALLINT NOT NULL,
    part VARCHAR(16) NOT NULL,
    "key" VARCHAR(255) NOT NULL,
    affinity VARCHAR(16) NOT NULL,
    uses BIGINT NOT NULL,
    used_us BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    PRIMARY KEY (name)
)
 WITHOUT ROWID;

CREATE TABLE schema_version (
    component VARCHAR(64) NOT NULL,
    version INTEGER NOT NULL,
    written_by VARCHAR(64) NOT NULL,
    change VARCHAR(26) NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (component)
);

CREATE TABLE type (
    id INTEGER NOT NULL,
    code SMALLINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    version VARCHAR(255) NOT NULL,
    description TEXT,
    base VARCHAR(255),
    external_id VARCHAR(255),
    input_type TEXT,
    output_type TEXT,
    properties TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX event_of_artifact ON event (artifact_id, kind, execution_id);

CREATE INDEX imported_node ON imported (node_id);

CREATE INDEX mark_of_node ON mark (node_id);

CREATE INDEX member_of_node ON member (node_id, context_id);

CREATE UNIQUE INDEX node_external ON node (external_id, namespace_id, id & 3) WHERE external_id IS NOT NULL;

CREATE UNIQUE INDEX node_name ON node (type_id, namespace_id, name);

CREATE INDEX node_open ON node (id) WHERE state >= 1 AND state <= (id & 3);

CREATE UNIQUE INDEX node_uid ON node (uid);

CREATE INDEX node_uri ON node (uri) WHERE uri IS NOT NULL;

CREATE INDEX parent_context_of_parent ON parent_context (parent_id);

CREATE UNIQUE INDEX type_external ON type (code, external_id);

CREATE UNIQUE INDEX type_name ON type (code, name, version);

CREATE VIEW graph_event AS SELECT e.execution_id, e.artifact_id, CASE WHEN e.kind = 0 THEN 'UNKNOWN' WHEN e.kind = 1 THEN 'DECLARED_OUTPUT' WHEN e.kind = 2 THEN 'DECLARED_INPUT' WHEN e.kind = 3 THEN 'INPUT' WHEN e.kind = 4 THEN 'OUTPUT' WHEN e.kind = 5 THEN 'INTERNAL_INPUT' WHEN e.kind = 6 THEN 'INTERNAL_OUTPUT' WHEN e.kind = 7 THEN 'PENDING_OUTPUT' END AS kind, e.path, e.position, e.at_us, coalesce(e.known_us, e.at_us) AS known_us FROM event e;

CREATE VIEW graph_node AS SELECT n.id, CASE WHEN (n.id & 3) = 1 THEN 'artifact' WHEN (n.id & 3) = 2 THEN 'execution' WHEN (n.id & 3) = 3 THEN 'context' END AS kind, t.name AS type, t.version AS type_version, s.name AS namespace, coalesce(n.uid_text, lower(hex(n.uid))) AS uid, n.name, n.external_id, n.uri, CASE WHEN (n.id & 3) = 1 AND n.state = 0 THEN 'UNKNOWN' WHEN (n.id & 3) = 1 AND n.state = 1 THEN 'PENDING' WHEN (n.id & 3) = 1 AND n.state = 2 THEN 'LIVE' WHEN (n.id & 3) = 1 AND n.state = 3 THEN 'MARKED_FOR_DELETION' WHEN (n.id & 3) = 1 AND n.state = 4 THEN 'DELETED' WHEN (n.id & 3) = 1 AND n.state = 5 THEN 'ABANDONED' WHEN (n.id & 3) = 1 AND n.state = 6 THEN 'REFERENCE' WHEN (n.id & 3) = 2 AND n.state = 0 THEN 'UNKNOWN' WHEN (n.id & 3) = 2 AND n.state = 1 THEN 'NEW' WHEN (n.id & 3) = 2 AND n.state = 2 THEN 'RUNNING' WHEN (n.id & 3) = 2 AND n.state = 3 THEN 'COMPLETE' WHEN (n.id & 3) = 2 AND n.state = 4 THEN 'FAILED' WHEN (n.id & 3) = 2 AND n.state = 5 THEN 'CACHED' WHEN (n.id & 3) = 2 AND n.state = 6 THEN 'CANCELED' END AS state, n.properties, n.created_us, coalesce(n.updated_us, n.created_us) AS updated_us, n.revision, n.removed_us FROM node n JOIN type t ON t.id = n.type_id JOIN namespace s ON s.id = n.namespace_id;
