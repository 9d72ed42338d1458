CREATE TABLE `schema_version` (
  `component` varchar(64) NOT NULL,
  `version` int(11) NOT NULL,
  `written_by` varchar(64) NOT NULL,
  `change` varchar(26) NOT NULL COMMENT 'a uid: when, and which of two migrations was first',
  `at_us` bigint(20) NOT NULL,
  PRIMARY KEY (`component`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `tracking_key` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `key` varchar(250) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `key` (`key`)
) ENGINE=InnoDB AUTO_INCREMENT=10 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `tracking_run` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `uid` varchar(64) NOT NULL,
  `type` varchar(250) NOT NULL,
  `name` longtext DEFAULT NULL,
  `experiment` longtext DEFAULT NULL,
  `state` varchar(16) NOT NULL,
  `started_us` bigint(20) NOT NULL,
  `is_open` tinyint(1) NOT NULL,
  `n_logged` bigint(20) NOT NULL COMMENT 'numbers the metrics in the order of logging',
  PRIMARY KEY (`id`),
  UNIQUE KEY `uid` (`uid`),
  KEY `tracking_run_open` (`is_open`),
  KEY `tracking_run_by_start` (`started_us`,`uid`)
) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `tracking_latest` (
  `run` bigint(20) NOT NULL,
  `key` bigint(20) NOT NULL,
  `step` bigint(20) NOT NULL,
  `at_us` bigint(20) NOT NULL,
  `value` double DEFAULT NULL,
  PRIMARY KEY (`run`,`key`),
  KEY `tracking_latest_by_value` (`key`,`value`),
  CONSTRAINT `tracking_latest_ibfk_1` FOREIGN KEY (`run`) REFERENCES `tracking_run` (`id`),
  CONSTRAINT `tracking_latest_ibfk_2` FOREIGN KEY (`key`) REFERENCES `tracking_key` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `tracking_metric` (
  `run` bigint(20) NOT NULL,
  `key` bigint(20) NOT NULL,
  `step` bigint(20) NOT NULL,
  `at_us` bigint(20) NOT NULL,
  `number` bigint(20) NOT NULL,
  `value` double DEFAULT NULL,
  PRIMARY KEY (`run`,`key`,`step`,`at_us`,`number`),
  KEY `key` (`key`),
  CONSTRAINT `tracking_metric_ibfk_1` FOREIGN KEY (`run`) REFERENCES `tracking_run` (`id`),
  CONSTRAINT `tracking_metric_ibfk_2` FOREIGN KEY (`key`) REFERENCES `tracking_key` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `tracking_param` (
  `run` bigint(20) NOT NULL,
  `key` bigint(20) NOT NULL,
  `text` longtext NOT NULL,
  `is_text` tinyint(1) NOT NULL COMMENT 'else the text is JSON',
  `number` double DEFAULT NULL,
  PRIMARY KEY (`run`,`key`),
  KEY `key` (`key`),
  CONSTRAINT `tracking_param_ibfk_1` FOREIGN KEY (`run`) REFERENCES `tracking_run` (`id`),
  CONSTRAINT `tracking_param_ibfk_2` FOREIGN KEY (`key`) REFERENCES `tracking_key` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE `tracking_tag` (
  `run` bigint(20) NOT NULL,
  `key` bigint(20) NOT NULL,
  `text` longtext NOT NULL,
  PRIMARY KEY (`run`,`key`),
  KEY `key` (`key`),
  CONSTRAINT `tracking_tag_ibfk_1` FOREIGN KEY (`run`) REFERENCES `tracking_run` (`id`),
  CONSTRAINT `tracking_tag_ibfk_2` FOREIGN KEY (`key`) REFERENCES `tracking_key` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;
