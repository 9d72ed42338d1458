CREATE TABLE counter (
    id smallint NOT NULL,
    last_n bigint NOT NULL,
    last_us bigint NOT NULL
);

CREATE TABLE event (
    execution_id bigint NOT NULL,
    kind smallint NOT NULL,
    artifact_id bigint NOT NULL,
    path character varying(500) COLLATE "C" NOT NULL,
    "position" integer NOT NULL,
    at_us bigint NOT NULL,
    known_us bigint
);

CREATE TABLE imported (
    source character varying(64) COLLATE "C" NOT NULL,
    code smallint NOT NULL,
    their_id bigint NOT NULL,
    node_id bigint NOT NULL
);

CREATE TABLE life (
    uid character varying(64) COLLATE "C" NOT NULL,
    host character varying(255) COLLATE "C" NOT NULL,
    pid integer NOT NULL,
    started_us bigint NOT NULL,
    beat_us bigint NOT NULL
);

CREATE TABLE mark (
    id bigint NOT NULL,
    node_id bigint NOT NULL,
    verdict character varying(16) COLLATE "C" NOT NULL,
    policy character varying(16) COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    principal character varying(255) COLLATE "C" NOT NULL,
    at_us bigint NOT NULL,
    lifted_us bigint,
    lifted_by character varying(255) COLLATE "C"
);

CREATE TABLE member (
    context_id bigint NOT NULL,
    node_id bigint NOT NULL,
    known_us bigint
);

CREATE TABLE namespace (
    id smallint NOT NULL,
    name character varying(64) COLLATE "C" NOT NULL,
    created_us bigint NOT NULL,
    closed boolean NOT NULL
);

CREATE TABLE node (
    id bigint NOT NULL,
    type_id bigint NOT NULL,
    namespace_id smallint NOT NULL,
    uid bytea NOT NULL,
    uid_text character varying(64) COLLATE "C",
    name character varying(512) COLLATE "C",
    external_id character varying(512) COLLATE "C",
    uri text COLLATE "C",
    state smallint,
    properties text COLLATE "C" NOT NULL,
    created_us bigint NOT NULL,
    updated_us bigint,
    revision integer NOT NULL,
    removed_us bigint
);

CREATE TABLE node_past (
    node_id bigint NOT NULL,
    revision integer NOT NULL,
    until_us bigint NOT NULL,
    delta text COLLATE "C" NOT NULL
);

CREATE TABLE parent_context (
    child_id bigint NOT NULL,
    parent_id bigint NOT NULL,
    known_us bigint
);

CREATE TABLE property_index (
    name character varying(64) COLLATE "C" NOT NULL,
    code smallint NOT NULL,
    part character varying(16) COLLATE "C" NOT NULL,
    key character varying(255) COLLATE "C" NOT NULL,
    affinity character varying(16) COLLATE "C" NOT NULL,
    uses bigint NOT NULL,
    used_us bigint NOT NULL,
    state character varying(16) COLLATE "C" NOT NULL
);

CREATE TABLE schema_version (
    component character varying(64) COLLATE "C" NOT NULL,
    version integer NOT NULL,
    written_by character varying(64) COLLATE "C" NOT NULL,
    change character varying(26) COLLATE "C" NOT NULL,
    at_us bigint NOT NULL
);

CREATE TABLE type (
    id bigint NOT NULL,
    code smallint NOT NULL,
    name character varying(255) COLLATE "C" NOT NULL,
    version character varying(255) COLLATE "C" NOT NULL,
    description text COLLATE "C",
    base character varying(255) COLLATE "C",
    external_id character varying(255) COLLATE "C",
    input_type text COLLATE "C",
    output_type text COLLATE "C",
    properties text COLLATE "C" NOT NULL
);

ALTER TABLE counter ADD CONSTRAINT counter_pkey PRIMARY KEY (id);

ALTER TABLE event ADD CONSTRAINT event_pkey PRIMARY KEY (execution_id, kind, artifact_id, path);

ALTER TABLE imported ADD CONSTRAINT imported_pkey PRIMARY KEY (source, code, their_id);

ALTER TABLE life ADD CONSTRAINT life_pkey PRIMARY KEY (uid);

ALTER TABLE mark ADD CONSTRAINT mark_pkey PRIMARY KEY (id);

ALTER TABLE member ADD CONSTRAINT member_pkey PRIMARY KEY (context_id, node_id);

ALTER TABLE namespace ADD CONSTRAINT namespace_name_key UNIQUE (name);

ALTER TABLE namespace ADD CONSTRAINT namespace_pkey PRIMARY KEY (id);

ALTER TABLE node ADD CONSTRAINT node_pkey PRIMARY KEY (id);

ALTER TABLE node_past ADD CONSTRAINT node_past_pkey PRIMARY KEY (node_id, revision);

ALTER TABLE parent_context ADD CONSTRAINT parent_context_pkey PRIMARY KEY (child_id, parent_id);

ALTER TABLE property_index ADD CONSTRAINT property_index_pkey PRIMARY KEY (name);

ALTER TABLE schema_version ADD CONSTRAINT schema_version_pkey PRIMARY KEY (component);

ALTER TABLE type ADD CONSTRAINT type_pkey PRIMARY KEY (id);

CREATE INDEX event_of_artifact ON event USING btree (artifact_id, kind, execution_id);

CREATE INDEX imported_node ON imported USING btree (node_id);

CREATE INDEX mark_of_node ON mark USING btree (node_id);

CREATE INDEX member_of_node ON member USING btree (node_id, context_id);

CREATE UNIQUE INDEX node_external ON node USING btree (external_id, namespace_id, ((id & (3)::bigint))) WHERE (external_id IS NOT NULL);

CREATE UNIQUE INDEX node_name ON node USING btree (type_id, namespace_id, name);

CREATE INDEX node_open ON node USING btree (id) WHERE ((state >= 1) AND (state <= (id & (3)::bigint)));

CREATE UNIQUE INDEX node_uid ON node USING btree (uid);

CREATE INDEX node_uri ON node USING hash (uri) WHERE (uri IS NOT NULL);

CREATE INDEX parent_context_of_parent ON parent_context USING btree (parent_id);

CREATE UNIQUE INDEX type_external ON type USING btree (code, external_id);

CREATE UNIQUE INDEX type_name ON type USING btree (code, name, version);

CREATE VIEW graph_event AS
 SELECT e.execution_id,
    e.artifact_id,
        CASE
            WHEN (e.kind = 0) THEN 'UNKNOWN'::text
            WHEN (e.kind = 1) THEN 'DECLARED_OUTPUT'::text
            WHEN (e.kind = 2) THEN 'DECLARED_INPUT'::text
            WHEN (e.kind = 3) THEN 'INPUT'::text
            WHEN (e.kind = 4) THEN 'OUTPUT'::text
            WHEN (e.kind = 5) THEN 'INTERNAL_INPUT'::text
            WHEN (e.kind = 6) THEN 'INTERNAL_OUTPUT'::text
            WHEN (e.kind = 7) THEN 'PENDING_OUTPUT'::text
            ELSE NULL::text
        END AS kind,
    e.path,
    e."position",
    e.at_us,
    COALESCE(e.known_us, e.at_us) AS known_us
   FROM event e;

CREATE VIEW graph_node AS
 SELECT n.id,
        CASE
            WHEN ((n.id & (3)::bigint) = 1) THEN 'artifact'::text
            WHEN ((n.id & (3)::bigint) = 2) THEN 'execution'::text
            WHEN ((n.id & (3)::bigint) = 3) THEN 'context'::text
            ELSE NULL::text
        END AS kind,
    t.name AS type,
    t.version AS type_version,
    s.name AS namespace,
    COALESCE(n.uid_text, (encode(n.uid, 'hex'::text))::character varying) AS uid,
    n.name,
    n.external_id,
    n.uri,
        CASE
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 0)) THEN 'UNKNOWN'::text
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 1)) THEN 'PENDING'::text
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 2)) THEN 'LIVE'::text
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 3)) THEN 'MARKED_FOR_DELETION'::text
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 4)) THEN 'DELETED'::text
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 5)) THEN 'ABANDONED'::text
            WHEN (((n.id & (3)::bigint) = 1) AND (n.state = 6)) THEN 'REFERENCE'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 0)) THEN 'UNKNOWN'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 1)) THEN 'NEW'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 2)) THEN 'RUNNING'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 3)) THEN 'COMPLETE'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 4)) THEN 'FAILED'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 5)) THEN 'CACHED'::text
            WHEN (((n.id & (3)::bigint) = 2) AND (n.state = 6)) THEN 'CANCELED'::text
            ELSE NULL::text
        END AS state,
    n.properties,
    n.created_us,
    COALESCE(n.updated_us, n.created_us) AS updated_us,
    n.revision,
    n.removed_us
   FROM ((node n
     JOIN type t ON ((t.id = n.type_id)))
     JOIN namespace s ON ((s.id = n.namespace_id)));
