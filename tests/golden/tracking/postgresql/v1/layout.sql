CREATE SEQUENCE tracking_key_id_seq START WITH 10;

CREATE SEQUENCE tracking_run_id_seq START WITH 4;

CREATE TABLE schema_version (
    component character varying(64) COLLATE "C" NOT NULL,
    version integer NOT NULL,
    written_by character varying(64) COLLATE "C" NOT NULL,
    change character varying(26) COLLATE "C" NOT NULL,
    at_us bigint NOT NULL
);

CREATE TABLE tracking_key (
    id bigint NOT NULL,
    key character varying(250) COLLATE "C" NOT NULL
);

CREATE TABLE tracking_latest (
    run bigint NOT NULL,
    key bigint NOT NULL,
    step bigint NOT NULL,
    at_us bigint NOT NULL,
    value double precision
);

CREATE TABLE tracking_metric (
    run bigint NOT NULL,
    key bigint NOT NULL,
    step bigint NOT NULL,
    at_us bigint NOT NULL,
    number bigint NOT NULL,
    value double precision
);

CREATE TABLE tracking_param (
    run bigint NOT NULL,
    key bigint NOT NULL,
    text text COLLATE "C" NOT NULL,
    is_text boolean NOT NULL,
    number double precision
);

CREATE TABLE tracking_run (
    id bigint NOT NULL,
    uid character varying(64) COLLATE "C" NOT NULL,
    type character varying(250) COLLATE "C" NOT NULL,
    name text COLLATE "C",
    experiment text COLLATE "C",
    state character varying(16) COLLATE "C" NOT NULL,
    started_us bigint NOT NULL,
    is_open boolean NOT NULL,
    n_logged bigint NOT NULL
);

CREATE TABLE tracking_tag (
    run bigint NOT NULL,
    key bigint NOT NULL,
    text text COLLATE "C" NOT NULL
);

ALTER TABLE tracking_key ALTER COLUMN id SET DEFAULT nextval('tracking_key_id_seq'::regclass);

ALTER TABLE tracking_run ALTER COLUMN id SET DEFAULT nextval('tracking_run_id_seq'::regclass);

ALTER TABLE schema_version ADD CONSTRAINT schema_version_pkey PRIMARY KEY (component);

ALTER TABLE tracking_key ADD CONSTRAINT tracking_key_key_key UNIQUE (key);

ALTER TABLE tracking_key ADD CONSTRAINT tracking_key_pkey PRIMARY KEY (id);

ALTER TABLE tracking_latest ADD CONSTRAINT tracking_latest_pkey PRIMARY KEY (run, key);

ALTER TABLE tracking_metric ADD CONSTRAINT tracking_metric_pkey PRIMARY KEY (run, key, step, at_us, number);

ALTER TABLE tracking_param ADD CONSTRAINT tracking_param_pkey PRIMARY KEY (run, key);

ALTER TABLE tracking_run ADD CONSTRAINT tracking_run_pkey PRIMARY KEY (id);

ALTER TABLE tracking_run ADD CONSTRAINT tracking_run_uid_key UNIQUE (uid);

ALTER TABLE tracking_tag ADD CONSTRAINT tracking_tag_pkey PRIMARY KEY (run, key);

CREATE INDEX tracking_latest_by_value ON tracking_latest USING btree (key, value);

CREATE INDEX tracking_run_by_start ON tracking_run USING btree (started_us, uid);

CREATE INDEX tracking_run_open ON tracking_run USING btree (is_open);
