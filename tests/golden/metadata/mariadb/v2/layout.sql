CREATE TABLE `counter` (
  `id` smallint(6) NOT NULL,
  `last_n` bigint(20) NOT NULL COMMENT 'n of the newest node there ever was',
  `last_us` bigint(20) NOT NULL COMMENT 'the moment of the last write; the next is later',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC COMMENT='one row; a node that is newer says the same of itself';

CREATE TABLE `event` (
  `execution_id` bigint(20) NOT NULL,
  `kind` smallint(6) NOT NULL,
  `artifact_id` bigint(20) NOT NULL,
  `path` varchar(500) NOT NULL COMMENT 'JSON, empty when there is none',
  `position` int(11) NOT NULL COMMENT 'among the events of one write',
  `at_us` bigint(20) NOT NULL,
  `known_us` bigint(20) DEFAULT NULL COMMENT 'when it was written; null: at_us',
  PRIMARY KEY (`execution_id`,`kind`,`artifact_id`,`path`),
  KEY `event_of_artifact` (`artifact_id`,`kind`,`execution_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `imported` (
  `source` varchar(64) NOT NULL,
  `code` smallint(6) NOT NULL,
  `their_id` bigint(20) NOT NULL,
  `node_id` bigint(20) NOT NULL,
  PRIMARY KEY (`source`,`code`,`their_id`),
  KEY `imported_node` (`node_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC COMMENT='ids that imported nodes have elsewhere';

CREATE TABLE `life` (
  `uid` varchar(64) NOT NULL,
  `host` varchar(255) NOT NULL,
  `pid` int(11) NOT NULL,
  `started_us` bigint(20) NOT NULL,
  `beat_us` bigint(20) NOT NULL,
  PRIMARY KEY (`uid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC COMMENT='processes that have executions open, and their heartbeats';

CREATE TABLE `mark` (
  `id` bigint(20) NOT NULL,
  `node_id` bigint(20) NOT NULL,
  `verdict` varchar(16) NOT NULL,
  `policy` varchar(16) NOT NULL,
  `reason` longtext NOT NULL,
  `principal` varchar(255) NOT NULL,
  `at_us` bigint(20) NOT NULL,
  `lifted_us` bigint(20) DEFAULT NULL,
  `lifted_by` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `mark_of_node` (`node_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `member` (
  `context_id` bigint(20) NOT NULL,
  `node_id` bigint(20) NOT NULL,
  `known_us` bigint(20) DEFAULT NULL COMMENT 'null: since both exist',
  PRIMARY KEY (`context_id`,`node_id`),
  KEY `member_of_node` (`node_id`,`context_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC COMMENT='attributions (the node is an artifact) and associations (it is an execution)';

CREATE TABLE `namespace` (
  `id` smallint(6) NOT NULL,
  `name` varchar(64) NOT NULL,
  `created_us` bigint(20) NOT NULL,
  `closed` tinyint(1) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `name` (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `node` (
  `id` bigint(20) NOT NULL,
  `type_id` bigint(20) NOT NULL,
  `namespace_id` smallint(6) NOT NULL,
  `uid` binary(16) NOT NULL,
  `uid_text` varchar(64) DEFAULT NULL COMMENT 'the uid, when it is not a ULID',
  `name` varchar(512) DEFAULT NULL,
  `external_id` varchar(512) DEFAULT NULL,
  `uri` longtext DEFAULT NULL,
  `state` smallint(6) DEFAULT NULL,
  `properties` longtext NOT NULL COMMENT 'JSON: typed under p, custom under c, of a tombstone t',
  `created_us` bigint(20) NOT NULL,
  `updated_us` bigint(20) DEFAULT NULL COMMENT 'null: never since it was created',
  `revision` int(11) NOT NULL,
  `removed_us` bigint(20) DEFAULT NULL COMMENT 'a tombstone''s moment',
  `external_key` smallint(6) GENERATED ALWAYS AS (`id` & 3) VIRTUAL,
  PRIMARY KEY (`id`),
  KEY `node_state` (`state`),
  KEY `node_uri` (`uri`(512)),
  UNIQUE KEY `node_external` (`external_id`,`namespace_id`,`external_key`),
  UNIQUE KEY `node_name` (`type_id`,`namespace_id`,`name`),
  UNIQUE KEY `node_uid` (`uid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `node_past` (
  `node_id` bigint(20) NOT NULL,
  `revision` int(11) NOT NULL,
  `until_us` bigint(20) NOT NULL COMMENT 'when the next revision came',
  `delta` longtext NOT NULL COMMENT 'JSON: what the next revision changed, as it was before',
  PRIMARY KEY (`node_id`,`revision`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC COMMENT='earlier revisions of nodes';

CREATE TABLE `parent_context` (
  `child_id` bigint(20) NOT NULL,
  `parent_id` bigint(20) NOT NULL,
  `known_us` bigint(20) DEFAULT NULL COMMENT 'null: since both exist',
  PRIMARY KEY (`child_id`,`parent_id`),
  KEY `parent_context_of_parent` (`parent_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `property_index` (
  `name` varchar(64) NOT NULL,
  `code` smallint(6) NOT NULL,
  `part` varchar(16) NOT NULL,
  `key` varchar(255) NOT NULL,
  `affinity` varchar(16) NOT NULL,
  `uses` bigint(20) NOT NULL,
  `used_us` bigint(20) NOT NULL,
  `state` varchar(16) NOT NULL,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC COMMENT='the expression indexes that exist';

CREATE TABLE `schema_version` (
  `component` varchar(64) NOT NULL,
  `version` int(11) NOT NULL,
  `written_by` varchar(64) NOT NULL,
  `change` varchar(26) NOT NULL COMMENT 'a uid: when, and which of two migrations was first',
  `at_us` bigint(20) NOT NULL,
  PRIMARY KEY (`component`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `type` (
  `id` bigint(20) NOT NULL,
  `code` smallint(6) NOT NULL COMMENT 'the kind: 1 artifact, 2 execution, 3 context',
  `name` varchar(255) NOT NULL,
  `version` varchar(255) NOT NULL COMMENT 'empty when there is none',
  `description` longtext DEFAULT NULL,
  `base` varchar(255) DEFAULT NULL,
  `external_id` varchar(255) DEFAULT NULL,
  `input_type` longtext DEFAULT NULL,
  `output_type` longtext DEFAULT NULL,
  `properties` longtext NOT NULL COMMENT 'JSON: name to type',
  PRIMARY KEY (`id`),
  UNIQUE KEY `type_external` (`code`,`external_id`),
  UNIQUE KEY `type_name` (`code`,`name`,`version`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE VIEW `graph_event` AS select `e`.`execution_id` AS `execution_id`,`e`.`artifact_id` AS `artifact_id`,case when `e`.`kind` = 0 then 'UNKNOWN' when `e`.`kind` = 1 then 'DECLARED_OUTPUT' when `e`.`kind` = 2 then 'DECLARED_INPUT' when `e`.`kind` = 3 then 'INPUT' when `e`.`kind` = 4 then 'OUTPUT' when `e`.`kind` = 5 then 'INTERNAL_INPUT' when `e`.`kind` = 6 then 'INTERNAL_OUTPUT' when `e`.`kind` = 7 then 'PENDING_OUTPUT' end AS `kind`,`e`.`path` AS `path`,`e`.`position` AS `position`,`e`.`at_us` AS `at_us`,coalesce(`e`.`known_us`,`e`.`at_us`) AS `known_us` from `event` `e`;

CREATE VIEW `graph_node` AS select `n`.`id` AS `id`,case when `n`.`id` & 3 = 1 then 'artifact' when `n`.`id` & 3 = 2 then 'execution' when `n`.`id` & 3 = 3 then 'context' end AS `kind`,`t`.`name` AS `type`,`t`.`version` AS `type_version`,`s`.`name` AS `namespace`,coalesce(`n`.`uid_text`,lcase(hex(`n`.`uid`))) AS `uid`,`n`.`name` AS `name`,`n`.`external_id` AS `external_id`,`n`.`uri` AS `uri`,case when `n`.`id` & 3 = 1 and `n`.`state` = 0 then 'UNKNOWN' when `n`.`id` & 3 = 1 and `n`.`state` = 1 then 'PENDING' when `n`.`id` & 3 = 1 and `n`.`state` = 2 then 'LIVE' when `n`.`id` & 3 = 1 and `n`.`state` = 3 then 'MARKED_FOR_DELETION' when `n`.`id` & 3 = 1 and `n`.`state` = 4 then 'DELETED' when `n`.`id` & 3 = 1 and `n`.`state` = 5 then 'ABANDONED' when `n`.`id` & 3 = 1 and `n`.`state` = 6 then 'REFERENCE' when `n`.`id` & 3 = 2 and `n`.`state` = 0 then 'UNKNOWN' when `n`.`id` & 3 = 2 and `n`.`state` = 1 then 'NEW' when `n`.`id` & 3 = 2 and `n`.`state` = 2 then 'RUNNING' when `n`.`id` & 3 = 2 and `n`.`state` = 3 then 'COMPLETE' when `n`.`id` & 3 = 2 and `n`.`state` = 4 then 'FAILED' when `n`.`id` & 3 = 2 and `n`.`state` = 5 then 'CACHED' when `n`.`id` & 3 = 2 and `n`.`state` = 6 then 'CANCELED' end AS `state`,`n`.`properties` AS `properties`,`n`.`created_us` AS `created_us`,coalesce(`n`.`updated_us`,`n`.`created_us`) AS `updated_us`,`n`.`revision` AS `revision`,`n`.`removed_us` AS `removed_us` from ((`node` `n` join `type` `t` on(`t`.`id` = `n`.`type_id`)) join `namespace` `s` on(`s`.`id` = `n`.`namespace_id`));
