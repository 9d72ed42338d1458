CREATE TABLE `Artifact` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `type_id` int(11) NOT NULL,
  `uri` text DEFAULT NULL,
  `state` int(11) DEFAULT NULL,
  `name` varchar(255) DEFAULT NULL,
  `create_time_since_epoch` bigint(20) NOT NULL DEFAULT 0,
  `last_update_time_since_epoch` bigint(20) NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`),
  UNIQUE KEY `UniqueArtifactTypeName` (`type_id`,`name`),
  KEY `idx_artifact_uri` (`uri`(255)),
  KEY `idx_artifact_create_time_since_epoch` (`create_time_since_epoch`),
  KEY `idx_artifact_last_update_time_since_epoch` (`last_update_time_since_epoch`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Artifact` VALUES (1,10,'/x/é/日本',2,'first',1795258433713,1795258433713);
INSERT INTO `Artifact` VALUES (2,10,'',3,NULL,1795258433715,1795258433715);
CREATE TABLE `ArtifactProperty` (
  `artifact_id` int(11) NOT NULL,
  `name` varchar(255) NOT NULL,
  `is_custom_property` tinyint(1) NOT NULL,
  `int_value` int(11) DEFAULT NULL,
  `double_value` double DEFAULT NULL,
  `string_value` mediumtext DEFAULT NULL,
  `byte_value` mediumblob DEFAULT NULL,
  PRIMARY KEY (`artifact_id`,`name`,`is_custom_property`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `ArtifactProperty` VALUES (1,'facts',0,NULL,NULL,'mlmd-struct::CigKAWsSIzIhCgkRAAAAAAAA8D8KAggAChAqDgoMCgRkZWVwEgQaAsO8CgcKAXQSAiAB',NULL);
INSERT INTO `ArtifactProperty` VALUES (1,'note',1,NULL,NULL,'mlmd-struct is only a prefix',NULL);
INSERT INTO `ArtifactProperty` VALUES (1,'share',0,NULL,0.1,NULL,NULL);
INSERT INTO `ArtifactProperty` VALUES (1,'span',0,-3,NULL,NULL,NULL);
INSERT INTO `ArtifactProperty` VALUES (1,'span',1,NULL,NULL,'the same name, another kind',NULL);
INSERT INTO `ArtifactProperty` VALUES (1,'split',0,NULL,NULL,'Zug “früh”',NULL);
INSERT INTO `ArtifactProperty` VALUES (1,'void',0,NULL,NULL,'',NULL);
CREATE TABLE `Association` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `context_id` int(11) NOT NULL,
  `execution_id` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `context_id` (`context_id`,`execution_id`)
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Association` VALUES (1,1,1);
CREATE TABLE `Attribution` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `context_id` int(11) NOT NULL,
  `artifact_id` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `context_id` (`context_id`,`artifact_id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Attribution` VALUES (1,1,1);
INSERT INTO `Attribution` VALUES (2,1,2);
CREATE TABLE `Context` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `type_id` int(11) NOT NULL,
  `name` varchar(255) NOT NULL,
  `create_time_since_epoch` bigint(20) NOT NULL DEFAULT 0,
  `last_update_time_since_epoch` bigint(20) NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`),
  UNIQUE KEY `type_id` (`type_id`,`name`),
  KEY `idx_context_create_time_since_epoch` (`create_time_since_epoch`),
  KEY `idx_context_last_update_time_since_epoch` (`last_update_time_since_epoch`)
) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Context` VALUES (1,13,'c',1795258433717,1795258433717);
INSERT INTO `Context` VALUES (2,13,'d',1795258433722,1795258433722);
INSERT INTO `Context` VALUES (3,13,'größer',1795258433722,1795258433722);
CREATE TABLE `ContextProperty` (
  `context_id` int(11) NOT NULL,
  `name` varchar(255) NOT NULL,
  `is_custom_property` tinyint(1) NOT NULL,
  `int_value` int(11) DEFAULT NULL,
  `double_value` double DEFAULT NULL,
  `string_value` mediumtext DEFAULT NULL,
  `byte_value` mediumblob DEFAULT NULL,
  PRIMARY KEY (`context_id`,`name`,`is_custom_property`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `ContextProperty` VALUES (1,'why',1,NULL,NULL,'naïve',NULL);
CREATE TABLE `Event` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `artifact_id` int(11) NOT NULL,
  `execution_id` int(11) NOT NULL,
  `type` int(11) NOT NULL,
  `milliseconds_since_epoch` bigint(20) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `idx_event_execution_id` (`execution_id`),
  KEY `idx_event_artifact_id` (`artifact_id`)
) ENGINE=InnoDB AUTO_INCREMENT=8 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Event` VALUES (1,1,1,3,1795258433716);
INSERT INTO `Event` VALUES (2,2,1,4,5);
INSERT INTO `Event` VALUES (3,1,1,2,1700000000123);
INSERT INTO `Event` VALUES (4,1,1,5,1700000000123);
INSERT INTO `Event` VALUES (5,2,1,1,1700000000123);
INSERT INTO `Event` VALUES (6,2,1,6,1700000000123);
INSERT INTO `Event` VALUES (7,2,1,7,1700000000123);
CREATE TABLE `EventPath` (
  `event_id` int(11) NOT NULL,
  `is_index_step` tinyint(1) NOT NULL,
  `step_index` int(11) DEFAULT NULL,
  `step_key` text DEFAULT NULL,
  KEY `idx_eventpath_event_id` (`event_id`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `EventPath` VALUES (1,0,NULL,'rows');
INSERT INTO `EventPath` VALUES (1,1,2,NULL);
INSERT INTO `EventPath` VALUES (1,0,NULL,'é');
CREATE TABLE `Execution` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `type_id` int(11) NOT NULL,
  `last_known_state` int(11) DEFAULT NULL,
  `name` varchar(255) DEFAULT NULL,
  `create_time_since_epoch` bigint(20) NOT NULL DEFAULT 0,
  `last_update_time_since_epoch` bigint(20) NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`),
  UNIQUE KEY `UniqueExecutionTypeName` (`type_id`,`name`),
  KEY `idx_execution_create_time_since_epoch` (`create_time_since_epoch`),
  KEY `idx_execution_last_update_time_since_epoch` (`last_update_time_since_epoch`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Execution` VALUES (1,12,3,'run',1795258433715,1795258433715);
INSERT INTO `Execution` VALUES (2,12,2,NULL,1795258433724,1795258433724);
CREATE TABLE `ExecutionProperty` (
  `execution_id` int(11) NOT NULL,
  `name` varchar(255) NOT NULL,
  `is_custom_property` tinyint(1) NOT NULL,
  `int_value` int(11) DEFAULT NULL,
  `double_value` double DEFAULT NULL,
  `string_value` mediumtext DEFAULT NULL,
  `byte_value` mediumblob DEFAULT NULL,
  PRIMARY KEY (`execution_id`,`name`,`is_custom_property`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `ExecutionProperty` VALUES (1,'n',0,7,NULL,NULL,NULL);
CREATE TABLE `MLMDEnv` (
  `schema_version` int(11) NOT NULL,
  PRIMARY KEY (`schema_version`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `MLMDEnv` VALUES (7);
CREATE TABLE `ParentContext` (
  `context_id` int(11) NOT NULL,
  `parent_context_id` int(11) NOT NULL,
  PRIMARY KEY (`context_id`,`parent_context_id`),
  KEY `idx_parentcontext_parent_context_id` (`parent_context_id`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `ParentContext` VALUES (2,1);
INSERT INTO `ParentContext` VALUES (3,2);
CREATE TABLE `ParentType` (
  `type_id` int(11) NOT NULL,
  `parent_type_id` int(11) NOT NULL,
  PRIMARY KEY (`type_id`,`parent_type_id`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `ParentType` VALUES (10,1);
CREATE TABLE `Type` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(255) NOT NULL,
  `version` varchar(255) DEFAULT NULL,
  `type_kind` tinyint(1) NOT NULL,
  `description` text DEFAULT NULL,
  `input_type` text DEFAULT NULL,
  `output_type` text DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `idx_type_name` (`name`)
) ENGINE=InnoDB AUTO_INCREMENT=14 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `Type` VALUES (1,'mlmd.Dataset',NULL,1,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (2,'mlmd.Model',NULL,1,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (3,'mlmd.Metrics',NULL,1,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (4,'mlmd.Statistics',NULL,1,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (5,'mlmd.Train',NULL,0,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (6,'mlmd.Transform',NULL,0,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (7,'mlmd.Process',NULL,0,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (8,'mlmd.Evaluate',NULL,0,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (9,'mlmd.Deploy',NULL,0,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (10,'Data',NULL,1,NULL,NULL,NULL);
INSERT INTO `Type` VALUES (11,'Data','2',1,'später',NULL,NULL);
INSERT INTO `Type` VALUES (12,'Train',NULL,0,'fits a model','{\"dict\":{\"properties\":{\"rows\":{\"simple\":{\"name\":\"Data\"}}}}}','{\"simple\":{\"name\":\"Data\"}}');
INSERT INTO `Type` VALUES (13,'Group',NULL,2,NULL,NULL,NULL);
CREATE TABLE `TypeProperty` (
  `type_id` int(11) NOT NULL,
  `name` varchar(255) NOT NULL,
  `data_type` int(11) DEFAULT NULL,
  PRIMARY KEY (`type_id`,`name`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `TypeProperty` VALUES (10,'facts',4);
INSERT INTO `TypeProperty` VALUES (10,'share',2);
INSERT INTO `TypeProperty` VALUES (10,'span',1);
INSERT INTO `TypeProperty` VALUES (10,'split',3);
INSERT INTO `TypeProperty` VALUES (10,'void',3);
INSERT INTO `TypeProperty` VALUES (12,'n',1);
