CREATE TABLE event (
	id INTEGER NOT NULL, 
	execution_id INTEGER NOT NULL, 
	artifact_id INTEGER NOT NULL, 
	kind VARCHAR(24) NOT NULL, 
	path VARCHAR(500) NOT NULL, 
	at_us BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(execution_id) REFERENCES node (id), 
	FOREIGN KEY(artifact_id) REFERENCES node (id)
);

CREATE TABLE member (
	context_id INTEGER NOT NULL, 
	node_id INTEGER NOT NULL, 
	PRIMARY KEY (context_id, node_id), 
	FOREIGN KEY(context_id) REFERENCES node (id), 
	FOREIGN KEY(node_id) REFERENCES node (id)
)
 WITHOUT ROWID

;

CREATE TABLE node (
	id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	type_id INTEGER NOT NULL, 
	uid VARCHAR(64) NOT NULL, 
	name VARCHAR(512), 
	external_id VARCHAR(512), 
	uri TEXT, 
	state VARCHAR(24), 
	properties TEXT NOT NULL, 
	created_us BIGINT NOT NULL, 
	updated_us BIGINT NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(type_id) REFERENCES type (id)
);

CREATE TABLE parent_context (
	child_id INTEGER NOT NULL, 
	parent_id INTEGER NOT NULL, 
	PRIMARY KEY (child_id, parent_id), 
	FOREIGN KEY(child_id) REFERENCES node (id), 
	FOREIGN KEY(parent_id) REFERENCES node (id)
)
 WITHOUT ROWID

;

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
	kind VARCHAR(16) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	version VARCHAR(255) NOT NULL, 
	description TEXT, 
	base VARCHAR(255), 
	properties TEXT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX event_of_artifact ON event (artifact_id, execution_id, kind);

CREATE UNIQUE INDEX event_of_execution ON event (execution_id, artifact_id, kind, path);

CREATE INDEX member_of_node ON member (node_id, context_id);

CREATE INDEX node_created ON node (created_us);

CREATE UNIQUE INDEX node_external ON node (kind, external_id) WHERE external_id IS NOT NULL;

CREATE UNIQUE INDEX node_name ON node (type_id, name);

CREATE INDEX node_state ON node (kind, state);

CREATE UNIQUE INDEX node_uid ON node (uid);

CREATE INDEX node_updated ON node (updated_us);

CREATE INDEX node_uri ON node (uri) WHERE uri IS NOT NULL;

CREATE INDEX parent_context_of_parent ON parent_context (parent_id);

CREATE UNIQUE INDEX type_name ON type (kind, name, version);
