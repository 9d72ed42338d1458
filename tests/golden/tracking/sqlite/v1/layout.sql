CREATE TABLE schema_version (
    component VARCHAR(64) NOT NULL,
    version INTEGER NOT NULL,
    written_by VARCHAR(64) NOT NULL,
    change VARCHAR(26) NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (component)
);

CREATE TABLE tracking_key (
    id INTEGER NOT NULL,
    "key" VARCHAR(250) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE ("key")
);

CREATE TABLE tracking_run (
    id INTEGER NOT NULL,
    uid VARCHAR(64) NOT NULL,
    type VARCHAR(250) NOT NULL,
    name TEXT,
    experiment TEXT,
    state VARCHAR(16) NOT NULL,
    started_us BIGINT NOT NULL,
    is_open BOOLEAN NOT NULL,
    n_logged BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (uid)
);

CREATE TABLE tracking_latest (
    run INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    step BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    value FLOAT,
    PRIMARY KEY (run, "key"),
    FOREIGN KEY(run) REFERENCES tracking_run (id),
    FOREIGN KEY("key") REFERENCES tracking_key (id)
)
 WITHOUT ROWID;

CREATE TABLE tracking_metric (
    run INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    step BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    number BIGINT NOT NULL,
    value FLOAT,
    PRIMARY KEY (run, "key", step, at_us, number),
    FOREIGN KEY(run) REFERENCES tracking_run (id),
    FOREIGN KEY("key") REFERENCES tracking_key (id)
)
 WITHOUT ROWID;

CREATE TABLE tracking_param (
    run INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    text TEXT NOT NULL,
    is_text BOOLEAN NOT NULL,
    number FLOAT,
    PRIMARY KEY (run, "key"),
    FOREIGN KEY(run) REFERENCES tracking_run (id),
    FOREIGN KEY("key") REFERENCES tracking_key (id)
)
 WITHOUT ROWID;

CREATE TABLE tracking_tag (
    run INTEGER NOT NULL,
    "key" INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, "key"),
    FOREIGN KEY(run) REFERENCES tracking_run (id),
    FOREIGN KEY("key") REFERENCES tracking_key (id)
)
 WITHOUT ROWID;

CREATE INDEX tracking_latest_by_value ON tracking_latest ("key", value);

CREATE INDEX tracking_run_by_start ON tracking_run (started_us, uid);

CREATE INDEX tracking_run_open ON tracking_run (is_open);
