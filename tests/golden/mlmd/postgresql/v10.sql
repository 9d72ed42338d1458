CREATE TABLE artifact (
    id integer NOT NULL,
    type_id integer NOT NULL,
    uri text,
    state integer,
    name character varying(255),
    external_id character varying(255),
    create_time_since_epoch bigint DEFAULT 0 NOT NULL,
    last_update_time_since_epoch bigint DEFAULT 0 NOT NULL
);
CREATE SEQUENCE artifact_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE artifact_id_seq OWNED BY artifact.id;
CREATE TABLE artifactproperty (
    artifact_id integer NOT NULL,
    name character varying(255) NOT NULL,
    is_custom_property boolean NOT NULL,
    int_value integer,
    double_value double precision,
    string_value text,
    byte_value bytea,
    proto_value bytea,
    bool_value boolean
);
CREATE TABLE association (
    id integer NOT NULL,
    context_id integer NOT NULL,
    execution_id integer NOT NULL
);
CREATE SEQUENCE association_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE association_id_seq OWNED BY association.id;
CREATE TABLE attribution (
    id integer NOT NULL,
    context_id integer NOT NULL,
    artifact_id integer NOT NULL
);
CREATE SEQUENCE attribution_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE attribution_id_seq OWNED BY attribution.id;
CREATE TABLE context (
    id integer NOT NULL,
    type_id integer NOT NULL,
    name character varying(255) NOT NULL,
    external_id character varying(255),
    create_time_since_epoch bigint DEFAULT 0 NOT NULL,
    last_update_time_since_epoch bigint DEFAULT 0 NOT NULL
);
CREATE SEQUENCE context_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE context_id_seq OWNED BY context.id;
CREATE TABLE contextproperty (
    context_id integer NOT NULL,
    name character varying(255) NOT NULL,
    is_custom_property boolean NOT NULL,
    int_value integer,
    double_value double precision,
    string_value text,
    byte_value bytea,
    proto_value bytea,
    bool_value boolean
);
CREATE TABLE event (
    id integer NOT NULL,
    artifact_id integer NOT NULL,
    execution_id integer NOT NULL,
    type integer NOT NULL,
    milliseconds_since_epoch bigint
);
CREATE SEQUENCE event_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE event_id_seq OWNED BY event.id;
CREATE TABLE eventpath (
    event_id integer NOT NULL,
    is_index_step boolean NOT NULL,
    step_index integer,
    step_key text
);
CREATE TABLE execution (
    id integer NOT NULL,
    type_id integer NOT NULL,
    last_known_state integer,
    name character varying(255),
    external_id character varying(255),
    create_time_since_epoch bigint DEFAULT 0 NOT NULL,
    last_update_time_since_epoch bigint DEFAULT 0 NOT NULL
);
CREATE SEQUENCE execution_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE execution_id_seq OWNED BY execution.id;
CREATE TABLE executionproperty (
    execution_id integer NOT NULL,
    name character varying(255) NOT NULL,
    is_custom_property boolean NOT NULL,
    int_value integer,
    double_value double precision,
    string_value text,
    byte_value bytea,
    proto_value bytea,
    bool_value boolean
);
CREATE TABLE mlmdenv (
    schema_version integer NOT NULL
);
CREATE TABLE parentcontext (
    context_id integer NOT NULL,
    parent_context_id integer NOT NULL
);
CREATE TABLE parenttype (
    type_id integer NOT NULL,
    parent_type_id integer NOT NULL
);
CREATE TABLE type (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    version character varying(255),
    type_kind smallint NOT NULL,
    description text,
    input_type text,
    output_type text,
    external_id character varying(255)
);
CREATE SEQUENCE type_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE type_id_seq OWNED BY type.id;
CREATE TABLE typeproperty (
    type_id integer NOT NULL,
    name character varying(255) NOT NULL,
    data_type integer
);
ALTER TABLE ONLY artifact ALTER COLUMN id SET DEFAULT nextval('artifact_id_seq'::regclass);
ALTER TABLE ONLY association ALTER COLUMN id SET DEFAULT nextval('association_id_seq'::regclass);
ALTER TABLE ONLY attribution ALTER COLUMN id SET DEFAULT nextval('attribution_id_seq'::regclass);
ALTER TABLE ONLY context ALTER COLUMN id SET DEFAULT nextval('context_id_seq'::regclass);
ALTER TABLE ONLY event ALTER COLUMN id SET DEFAULT nextval('event_id_seq'::regclass);
ALTER TABLE ONLY execution ALTER COLUMN id SET DEFAULT nextval('execution_id_seq'::regclass);
ALTER TABLE ONLY type ALTER COLUMN id SET DEFAULT nextval('type_id_seq'::regclass);
INSERT INTO artifact VALUES (1, 10, '/x/é/日本', 2, 'first', 'E1', 1795258430728, 1795258430728);
INSERT INTO artifact VALUES (2, 10, '', 3, NULL, NULL, 1795258430731, 1795258430731);
INSERT INTO artifactproperty VALUES (1, 'void', false, NULL, NULL, '', NULL, NULL, NULL);
INSERT INTO artifactproperty VALUES (1, 'facts', false, NULL, NULL, 'mlmd-struct::CgcKAXQSAiABCigKAWsSIzIhCgkRAAAAAAAA8D8KAggAChAqDgoMCgRkZWVwEgQaAsO8', NULL, NULL, NULL);
INSERT INTO artifactproperty VALUES (1, 'share', false, NULL, 0.1, NULL, NULL, NULL, NULL);
INSERT INTO artifactproperty VALUES (1, 'raw', false, NULL, NULL, NULL, NULL, '\x0a2f747970652e676f6f676c65617069732e636f6d2f6d6c5f6d657461646174612e4576656e742e506174682e53746570120812067061636b6564', NULL);
INSERT INTO artifactproperty VALUES (1, 'ok', false, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO artifactproperty VALUES (1, 'split', false, NULL, NULL, 'Zug “früh” 🚆', NULL, NULL, NULL);
INSERT INTO artifactproperty VALUES (1, 'span', false, -3, NULL, NULL, NULL, NULL, NULL);
INSERT INTO artifactproperty VALUES (1, 'yes', true, NULL, NULL, NULL, NULL, NULL, true);
INSERT INTO artifactproperty VALUES (1, 'note', true, NULL, NULL, 'mlmd-struct is only a prefix', NULL, NULL, NULL);
INSERT INTO artifactproperty VALUES (1, 'span', true, NULL, NULL, 'the same name, another kind', NULL, NULL, NULL);
INSERT INTO association VALUES (1, 1, 1);
INSERT INTO attribution VALUES (1, 1, 1);
INSERT INTO attribution VALUES (2, 1, 2);
INSERT INTO context VALUES (1, 13, 'c', NULL, 1795258430735, 1795258430735);
INSERT INTO context VALUES (2, 13, 'd', NULL, 1795258430743, 1795258430743);
INSERT INTO context VALUES (3, 13, 'größer', NULL, 1795258430743, 1795258430743);
INSERT INTO contextproperty VALUES (1, 'why', true, NULL, NULL, 'naïve', NULL, NULL, NULL);
INSERT INTO event VALUES (1, 1, 1, 3, 1795258430734);
INSERT INTO event VALUES (2, 2, 1, 4, 5);
INSERT INTO event VALUES (3, 1, 1, 2, 1700000000123);
INSERT INTO event VALUES (4, 1, 1, 5, 1700000000123);
INSERT INTO event VALUES (5, 2, 1, 1, 1700000000123);
INSERT INTO event VALUES (6, 2, 1, 6, 1700000000123);
INSERT INTO event VALUES (7, 2, 1, 7, 1700000000123);
INSERT INTO eventpath VALUES (1, false, NULL, 'rows');
INSERT INTO eventpath VALUES (1, true, 2, NULL);
INSERT INTO eventpath VALUES (1, false, NULL, 'é');
INSERT INTO execution VALUES (1, 12, 3, 'run', 'X1', 1795258430732, 1795258430732);
INSERT INTO execution VALUES (2, 12, 2, NULL, NULL, 1795258430746, 1795258430746);
INSERT INTO executionproperty VALUES (1, 'n', false, 7, NULL, NULL, NULL, NULL, NULL);
INSERT INTO mlmdenv VALUES (10);
INSERT INTO parentcontext VALUES (2, 1);
INSERT INTO parentcontext VALUES (3, 2);
INSERT INTO parenttype VALUES (10, 1);
INSERT INTO type VALUES (1, 'mlmd.Dataset', NULL, 1, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (2, 'mlmd.Model', NULL, 1, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (3, 'mlmd.Metrics', NULL, 1, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (4, 'mlmd.Statistics', NULL, 1, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (5, 'mlmd.Train', NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (6, 'mlmd.Transform', NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (7, 'mlmd.Process', NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (8, 'mlmd.Evaluate', NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (9, 'mlmd.Deploy', NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO type VALUES (10, 'Data', NULL, 1, NULL, NULL, NULL, 'type-data');
INSERT INTO type VALUES (11, 'Data', '2', 1, 'später', NULL, NULL, NULL);
INSERT INTO type VALUES (12, 'Train', NULL, 0, 'fits a model', '{"dict":{"properties":{"rows":{"simple":{"name":"Data"}}}}}', '{"simple":{"name":"Data"}}', NULL);
INSERT INTO type VALUES (13, 'Group', NULL, 2, NULL, NULL, NULL, 'type-group');
INSERT INTO typeproperty VALUES (10, 'raw', 5);
INSERT INTO typeproperty VALUES (10, 'split', 3);
INSERT INTO typeproperty VALUES (10, 'share', 2);
INSERT INTO typeproperty VALUES (10, 'facts', 4);
INSERT INTO typeproperty VALUES (10, 'ok', 6);
INSERT INTO typeproperty VALUES (10, 'span', 1);
INSERT INTO typeproperty VALUES (10, 'void', 3);
INSERT INTO typeproperty VALUES (12, 'n', 1);
SELECT pg_catalog.setval('artifact_id_seq', 2, true);
SELECT pg_catalog.setval('association_id_seq', 1, true);
SELECT pg_catalog.setval('attribution_id_seq', 2, true);
SELECT pg_catalog.setval('context_id_seq', 3, true);
SELECT pg_catalog.setval('event_id_seq', 7, true);
SELECT pg_catalog.setval('execution_id_seq', 2, true);
SELECT pg_catalog.setval('type_id_seq', 13, true);
ALTER TABLE ONLY artifact
    ADD CONSTRAINT artifact_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY artifact
    ADD CONSTRAINT artifact_pkey PRIMARY KEY (id);
ALTER TABLE ONLY artifactproperty
    ADD CONSTRAINT artifactproperty_pkey PRIMARY KEY (artifact_id, name, is_custom_property);
ALTER TABLE ONLY association
    ADD CONSTRAINT association_context_id_execution_id_key UNIQUE (context_id, execution_id);
ALTER TABLE ONLY association
    ADD CONSTRAINT association_pkey PRIMARY KEY (id);
ALTER TABLE ONLY attribution
    ADD CONSTRAINT attribution_context_id_artifact_id_key UNIQUE (context_id, artifact_id);
ALTER TABLE ONLY attribution
    ADD CONSTRAINT attribution_pkey PRIMARY KEY (id);
ALTER TABLE ONLY context
    ADD CONSTRAINT context_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY context
    ADD CONSTRAINT context_pkey PRIMARY KEY (id);
ALTER TABLE ONLY context
    ADD CONSTRAINT context_type_id_name_key UNIQUE (type_id, name);
ALTER TABLE ONLY contextproperty
    ADD CONSTRAINT contextproperty_pkey PRIMARY KEY (context_id, name, is_custom_property);
ALTER TABLE ONLY event
    ADD CONSTRAINT event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY execution
    ADD CONSTRAINT execution_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY execution
    ADD CONSTRAINT execution_pkey PRIMARY KEY (id);
ALTER TABLE ONLY executionproperty
    ADD CONSTRAINT executionproperty_pkey PRIMARY KEY (execution_id, name, is_custom_property);
ALTER TABLE ONLY mlmdenv
    ADD CONSTRAINT mlmdenv_pkey PRIMARY KEY (schema_version);
ALTER TABLE ONLY parentcontext
    ADD CONSTRAINT parentcontext_pkey PRIMARY KEY (context_id, parent_context_id);
ALTER TABLE ONLY parenttype
    ADD CONSTRAINT parenttype_pkey PRIMARY KEY (type_id, parent_type_id);
ALTER TABLE ONLY type
    ADD CONSTRAINT type_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY type
    ADD CONSTRAINT type_pkey PRIMARY KEY (id);
ALTER TABLE ONLY typeproperty
    ADD CONSTRAINT typeproperty_pkey PRIMARY KEY (type_id, name);
ALTER TABLE ONLY artifact
    ADD CONSTRAINT uniqueartifacttypename UNIQUE (type_id, name);
ALTER TABLE ONLY event
    ADD CONSTRAINT uniqueevent UNIQUE (artifact_id, execution_id, type);
ALTER TABLE ONLY execution
    ADD CONSTRAINT uniqueexecutiontypename UNIQUE (type_id, name);
CREATE INDEX idx_artifact_create_time_since_epoch ON artifact USING btree (create_time_since_epoch);
CREATE INDEX idx_artifact_external_id ON artifact USING btree (external_id);
CREATE INDEX idx_artifact_last_update_time_since_epoch ON artifact USING btree (last_update_time_since_epoch);
CREATE INDEX idx_artifact_property_double ON artifactproperty USING btree (name, is_custom_property, double_value);
CREATE INDEX idx_artifact_property_int ON artifactproperty USING btree (name, is_custom_property, int_value);
CREATE INDEX idx_artifact_property_string ON artifactproperty USING btree (name, is_custom_property, string_value);
CREATE INDEX idx_artifact_uri ON artifact USING btree (uri);
CREATE INDEX idx_context_create_time_since_epoch ON context USING btree (create_time_since_epoch);
CREATE INDEX idx_context_external_id ON context USING btree (external_id);
CREATE INDEX idx_context_last_update_time_since_epoch ON context USING btree (last_update_time_since_epoch);
CREATE INDEX idx_context_property_double ON contextproperty USING btree (name, is_custom_property, double_value);
CREATE INDEX idx_context_property_int ON contextproperty USING btree (name, is_custom_property, int_value);
CREATE INDEX idx_context_property_string ON contextproperty USING btree (name, is_custom_property, string_value);
CREATE INDEX idx_event_execution_id ON event USING btree (execution_id);
CREATE INDEX idx_eventpath_event_id ON eventpath USING btree (event_id);
CREATE INDEX idx_execution_create_time_since_epoch ON execution USING btree (create_time_since_epoch);
CREATE INDEX idx_execution_external_id ON execution USING btree (external_id);
CREATE INDEX idx_execution_last_update_time_since_epoch ON execution USING btree (last_update_time_since_epoch);
CREATE INDEX idx_execution_property_double ON executionproperty USING btree (name, is_custom_property, double_value);
CREATE INDEX idx_execution_property_int ON executionproperty USING btree (name, is_custom_property, int_value);
CREATE INDEX idx_execution_property_string ON executionproperty USING btree (name, is_custom_property, string_value);
CREATE INDEX idx_parentcontext_parent_context_id ON parentcontext USING btree (parent_context_id);
CREATE INDEX idx_type_external_id ON type USING btree (external_id);
CREATE INDEX idx_type_name ON type USING btree (name);
