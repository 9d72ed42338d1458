"""TensorFlow Metadata's published formats as a table: what its ``.proto`` files say, in the form `protos` reads.

Names are in the package ``tensorflow.metadata.v0``.

Source:
    TensorFlow Metadata 1.21.0, ``path.proto``, ``schema.proto``, ``derived_feature.proto``,
    ``statistics.proto``, ``anomalies.proto``; a test compares every field with the descriptors of an
    installed package. TFDV 1.16.1 reads and writes all of it but three empty domains that came later.
"""

from __future__ import annotations

from typing import Final

PATH: Final = """
Path: repeated string step 1
"""

SCHEMA: Final = """
enum LifecycleStage: UNKNOWN_STAGE 0, PLANNED 1, ALPHA 2, BETA 3, PRODUCTION 4, DEPRECATED 5,
    DEBUG_ONLY 6, DISABLED 7, VALIDATION_DERIVED 9
enum FeatureType: TYPE_UNKNOWN 0, BYTES 1, INT 2, FLOAT 3, STRUCT 4
Schema: repeated Feature feature 1, repeated SparseFeature sparse_feature 6,
    repeated WeightedFeature weighted_feature 12, repeated StringDomain string_domain 4,
    repeated FloatDomain float_domain 9, repeated IntDomain int_domain 10,
    repeated string default_environment 5, bool represent_variable_length_as_ragged 14,
    Annotation annotation 8, DatasetConstraints dataset_constraints 11,
    map<string,TensorRepresentationGroup> tensor_representation_group 13
ValueCountList: repeated ValueCount value_count 1
Feature: string name 1, bool deprecated 2 deprecated,
    FeaturePresence presence 14 in presence_constraints,
    FeaturePresenceWithinGroup group_presence 17 in presence_constraints,
    FixedShape shape 23 in shape_type, ValueCount value_count 5 in shape_type,
    ValueCountList value_counts 32 in shape_type, FeatureType type 6, string domain 7 in domain_info,
    IntDomain int_domain 9 in domain_info, FloatDomain float_domain 10 in domain_info,
    StringDomain string_domain 11 in domain_info, BoolDomain bool_domain 13 in domain_info,
    StructDomain struct_domain 29 in domain_info,
    NaturalLanguageDomain natural_language_domain 24 in domain_info,
    ImageDomain image_domain 25 in domain_info, AudioDomain audio_domain 36 in domain_info,
    VideoDomain video_domain 37 in domain_info,
    ContentChunkDomain content_chunk_domain 38 in domain_info, MIDDomain mid_domain 26 in domain_info,
    URLDomain url_domain 27 in domain_info, TimeDomain time_domain 28 in domain_info,
    TimeOfDayDomain time_of_day_domain 30 in domain_info,
    DistributionConstraints distribution_constraints 15, Annotation annotation 16,
    FeatureComparator skew_comparator 18, FeatureComparator drift_comparator 21,
    repeated string in_environment 20, repeated string not_in_environment 19,
    LifecycleStage lifecycle_stage 22, UniqueConstraints unique_constraints 31,
    DerivedFeatureSource validation_derived_source 34, SequenceMetadata sequence_metadata 35
Annotation: repeated string tag 1, repeated string comment 2, repeated google.Any extra_metadata 3
NumericValueComparator: double min_fraction_threshold 1, double max_fraction_threshold 2
DatasetConstraints: NumericValueComparator num_examples_drift_comparator 1,
    NumericValueComparator num_examples_version_comparator 2, int64 min_examples_count 3,
    int64 max_examples_count 4
FixedShape: repeated FixedShape.Dim dim 2
FixedShape.Dim: int64 size 1, string name 2
ValueCount: int64 min 1, int64 max 2
WeightedFeature: string name 1, Path feature 2, Path weight_feature 3, LifecycleStage lifecycle_stage 4
SparseFeature: string name 1, bool deprecated 2 deprecated, LifecycleStage lifecycle_stage 7,
    FeaturePresence presence 4 deprecated, FixedShape dense_shape 5,
    repeated SparseFeature.IndexFeature index_feature 6, bool is_sorted 8,
    SparseFeature.ValueFeature value_feature 9, FeatureType type 10 deprecated
SparseFeature.IndexFeature: string name 1
SparseFeature.ValueFeature: string name 1
DistributionConstraints: double min_domain_mass 1 default 1
FeatureCoverageConstraints: float min_coverage 1, float min_avg_token_length 2,
    repeated string excluded_string_tokens 3, repeated int64 excluded_int_tokens 4 packed,
    repeated string oov_string_tokens 5
SequenceValueConstraints: int64 int_value 1 in value, string string_value 2 in value,
    int64 min_per_sequence 3, int64 max_per_sequence 4, float min_fraction_of_sequences 5,
    float max_fraction_of_sequences 6
SequenceLengthConstraints: repeated int64 excluded_int_value 1, repeated string excluded_string_value 2,
    int64 min_sequence_length 3, int64 max_sequence_length 4
IntDomain: string name 1, int64 min 3, int64 max 4, bool is_categorical 5
FloatDomain: string name 1, float min 3, float max 4, bool disallow_nan 5, bool disallow_inf 6,
    bool is_embedding 7, bool is_categorical 8, int64 embedding_dim 9, string embedding_type 10
StructDomain: repeated Feature feature 1, repeated SparseFeature sparse_feature 2
StringDomain: string name 1, repeated string value 2, StringDomain.Categorical is_categorical 3
enum StringDomain.Categorical: CATEGORICAL_UNSPECIFIED 0, CATEGORICAL_YES 1, CATEGORICAL_NO 2
BoolDomain: string name 1, string true_value 2, string false_value 3
NaturalLanguageDomain: string vocabulary 1, FeatureCoverageConstraints coverage 2,
    repeated SequenceValueConstraints token_constraints 3,
    SequenceLengthConstraints sequence_length_constraints 5
ImageDomain: float minimum_supported_image_fraction 1, int64 max_image_byte_size 2
AudioDomain:
VideoDomain:
ContentChunkDomain:
MIDDomain:
URLDomain:
TimeDomain: string string_format 1 in format, TimeDomain.IntegerTimeFormat integer_format 2 in format
enum TimeDomain.IntegerTimeFormat: FORMAT_UNKNOWN 0, UNIX_DAYS 5, UNIX_SECONDS 1, UNIX_MILLISECONDS 2,
    UNIX_MICROSECONDS 3, UNIX_NANOSECONDS 4
TimeOfDayDomain: string string_format 1 in format,
    TimeOfDayDomain.IntegerTimeOfDayFormat integer_format 2 in format
enum TimeOfDayDomain.IntegerTimeOfDayFormat: FORMAT_UNKNOWN 0, PACKED_64_NANOS 1
FeaturePresence: double min_fraction 1, int64 min_count 2
FeaturePresenceWithinGroup: bool required 1
InfinityNorm: double threshold 1
HistogramSelection: HistogramSelection.Type type 1
enum HistogramSelection.Type: DEFAULT 0, QUANTILES 1, STANDARD 2
JensenShannonDivergence: double threshold 1, HistogramSelection source 2
NormalizedAbsoluteDifference: double threshold 1
FeatureComparator: InfinityNorm infinity_norm 1, JensenShannonDivergence jensen_shannon_divergence 2,
    NormalizedAbsoluteDifference normalized_abs_difference 3
UniqueConstraints: int64 min 1, int64 max 2
TensorRepresentation: TensorRepresentation.DenseTensor dense_tensor 1 in kind,
    TensorRepresentation.VarLenSparseTensor varlen_sparse_tensor 2 in kind,
    TensorRepresentation.SparseTensor sparse_tensor 3 in kind,
    TensorRepresentation.RaggedTensor ragged_tensor 4 in kind
enum TensorRepresentation.RowPartitionDType: UNSPECIFIED 0, INT64 1, INT32 2
TensorRepresentation.DefaultValue: double float_value 1 in kind, int64 int_value 2 in kind,
    bytes bytes_value 3 in kind, uint64 uint_value 4 in kind
TensorRepresentation.DenseTensor: string column_name 1, FixedShape shape 2,
    TensorRepresentation.DefaultValue default_value 3
TensorRepresentation.VarLenSparseTensor: string column_name 1
TensorRepresentation.SparseTensor: FixedShape dense_shape 1, repeated string index_column_names 2,
    string value_column_name 3, bool already_sorted 4
TensorRepresentation.RaggedTensor: Path feature_path 1,
    repeated TensorRepresentation.RaggedTensor.Partition partition 3,
    TensorRepresentation.RowPartitionDType row_partition_dtype 2
TensorRepresentation.RaggedTensor.Partition: int64 uniform_row_length 1 in kind,
    string row_length 2 in kind
TensorRepresentationGroup: map<string,TensorRepresentation> tensor_representation 1
SequenceMetadata: SequenceMetadata.SequentialStatus sequential_status 3, string joint_group 4,
    int64 sequence_truncation_limit 5
enum SequenceMetadata.SequentialStatus: SEQUENTIAL_UNSPECIFIED 0, SEQUENTIAL_YES 1, SEQUENTIAL_NO 2
"""

DERIVED: Final = """
enum SliceValueTypes: VALUE_TYPE_DEFAULT 0, VALUE_TYPE_INTEGER 1, VALUE_TYPE_FLOAT 2,
    VALUE_TYPE_UNSUPPORTED 3
DerivedFeatureSource: string deriver_name 1, string description 2, repeated Path source_path 3,
    bool declaratively_configured 4, DerivedFeatureConfig config 5
DerivedFeatureConfig: AllowlistDeriver allowlist 1 in type, ArgmaxTopK argmax_top_k 2 in type,
    ReduceOp reduce_op 3 in type, SliceSql slice_sql 4 in type,
    ImageQualityDeriver image_quality 5 in type
AllowlistDeriver: repeated bytes allowed_bytes_value 1, bytes placeholder_value 2
ArgmaxTopK: uint32 k 1
ReduceOp: string op_name 1
SliceSql: string expression 1, SliceValueTypes feature_value_type 2, bool drop_struct_name 3,
    int64 int64_default_feature_value 4 in default_feature_value_for_failed_sql,
    float float_default_feature_value 5 in default_feature_value_for_failed_sql,
    string string_default_feature_value 6 in default_feature_value_for_failed_sql
ImageQualityDeriver: string model_name 1
"""

STATISTICS: Final = """
DatasetFeatureStatisticsList: repeated DatasetFeatureStatistics datasets 1
DatasetFeatureStatistics: string name 1, uint64 num_examples 2, double weighted_num_examples 4,
    repeated FeatureNameStatistics features 3, repeated CrossFeatureStatistics cross_features 5
CrossFeatureStatistics: Path path_x 1, Path path_y 2, uint64 count 3,
    NumericCrossStatistics num_cross_stats 4 in cross_stats,
    CategoricalCrossStatistics categorical_cross_stats 5 in cross_stats
NumericCrossStatistics: float correlation 1, float covariance 2
CategoricalCrossStatistics: LiftStatistics lift 1
LiftStatistics: repeated LiftSeries lift_series 1, repeated LiftSeries weighted_lift_series 2
LiftSeries: int32 y_int 1 in y_value, string y_string 2 in y_value,
    LiftSeries.Bucket y_bucket 3 in y_value, uint64 y_count 4 in y_count_value,
    double weighted_y_count 5 in y_count_value, repeated LiftSeries.LiftValue lift_values 6
LiftSeries.Bucket: double low_value 1, double high_value 2
LiftSeries.LiftValue: int32 x_int 1 in x_value, string x_string 2 in x_value, double lift 3,
    uint64 x_count 4 in x_count_value, double weighted_x_count 5 in x_count_value,
    uint64 x_and_y_count 6 in x_and_y_count_value,
    double weighted_x_and_y_count 7 in x_and_y_count_value
FeatureNameStatistics: string name 1 in field_id, Path path 8 in field_id,
    FeatureNameStatistics.Type type 2, NumericStatistics num_stats 3 in stats,
    StringStatistics string_stats 4 in stats, BytesStatistics bytes_stats 5 in stats,
    StructStatistics struct_stats 7 in stats, repeated CustomStatistic custom_stats 6,
    DerivedFeatureSource validation_derived_source 10
enum FeatureNameStatistics.Type: INT 0, FLOAT 1, STRING 2, BYTES 3, STRUCT 4
WeightedCommonStatistics: double num_non_missing 1, double num_missing 2, double avg_num_values 3,
    double tot_num_values 4
CustomStatistic: string name 1, double num 2 in val, string str 3 in val, Histogram histogram 4 in val,
    RankHistogram rank_histogram 5 in val, google.Any any 6 in val
NumericStatistics: CommonStatistics common_stats 1, double mean 2, double std_dev 3, uint64 num_zeros 4,
    double min 5, double median 6, double max 7, repeated Histogram histograms 8,
    WeightedNumericStatistics weighted_numeric_stats 9
StringStatistics: CommonStatistics common_stats 1, uint64 unique 2,
    repeated StringStatistics.FreqAndValue top_values 3, float avg_length 4,
    RankHistogram rank_histogram 5, WeightedStringStatistics weighted_string_stats 6,
    string vocabulary_file 7, uint64 invalid_utf8_count 8
StringStatistics.FreqAndValue: string value 2, double frequency 3
NaturalLanguageStatistics: double feature_coverage 1, double avg_token_length 2,
    Histogram token_length_histogram 3, int64 min_sequence_length 10, int64 max_sequence_length 11,
    Histogram sequence_length_histogram 9, int64 location_misses 4,
    repeated string reported_sequences 5,
    repeated NaturalLanguageStatistics.TokenStatistics token_statistics 6,
    RankHistogram rank_histogram 7, WeightedNaturalLanguageStatistics weighted_nl_statistics 8
NaturalLanguageStatistics.TokenStatistics: string string_token 1 in token, int64 int_token 2 in token,
    double frequency 3, double fraction_of_sequences 4, double per_sequence_min_frequency 5,
    double per_sequence_avg_frequency 6, double per_sequence_max_frequency 7, Histogram positions 8
WeightedNumericStatistics: double mean 1, double std_dev 2, double median 3,
    repeated Histogram histograms 4
WeightedStringStatistics: repeated StringStatistics.FreqAndValue top_values 1,
    RankHistogram rank_histogram 2
WeightedNaturalLanguageStatistics: double feature_coverage 1, double avg_token_length 2,
    Histogram token_length_histogram 3, Histogram sequence_length_histogram 9, double location_misses 4,
    NaturalLanguageStatistics.TokenStatistics token_statistics 5, RankHistogram rank_histogram 6
BytesStatistics: CommonStatistics common_stats 1, uint64 unique 2, float avg_num_bytes 3,
    float min_num_bytes 4, float max_num_bytes 5, int64 max_num_bytes_int 6
StructStatistics: CommonStatistics common_stats 1
PresenceAndValencyStatistics: uint64 num_non_missing 1, uint64 num_missing 2, uint64 min_num_values 3,
    uint64 max_num_values 4, uint64 tot_num_values 5
CommonStatistics: uint64 num_non_missing 1, uint64 num_missing 2, uint64 min_num_values 3,
    uint64 max_num_values 4, float avg_num_values 5, uint64 tot_num_values 8,
    Histogram num_values_histogram 6, WeightedCommonStatistics weighted_common_stats 7,
    Histogram feature_list_length_histogram 9,
    repeated PresenceAndValencyStatistics presence_and_valency_stats 10,
    repeated WeightedCommonStatistics weighted_presence_and_valency_stats 11
Histogram: uint64 num_nan 1, uint64 num_undefined 2, repeated Histogram.Bucket buckets 3,
    Histogram.HistogramType type 4, string name 5
enum Histogram.HistogramType: STANDARD 0, QUANTILES 1
Histogram.Bucket: double low_value 1, double high_value 2, double sample_count 4
RankHistogram: repeated RankHistogram.Bucket buckets 1, string name 2
RankHistogram.Bucket: uint64 low_rank 1, uint64 high_rank 2, string label 4, double sample_count 5
"""

ANOMALIES: Final = """
AnomalyInfo: Path path 8, AnomalyInfo.Severity severity 5, string description 2,
    string short_description 6, repeated DiffRegion diff_regions 4, repeated AnomalyInfo.Reason reason 7
enum AnomalyInfo.Severity: UNKNOWN 0, WARNING 1, ERROR 2
enum AnomalyInfo.Type: UNKNOWN_TYPE 0, MULTIPLE_REASONS 82, BOOL_TYPE_BIG_INT 1,
    BOOL_TYPE_BYTES_NOT_INT 2, BOOL_TYPE_BYTES_NOT_STRING 3, BOOL_TYPE_FLOAT_NOT_INT 4,
    BOOL_TYPE_FLOAT_NOT_STRING 5, BOOL_TYPE_INT_NOT_STRING 6, BOOL_TYPE_SMALL_INT 7,
    BOOL_TYPE_STRING_NOT_INT 8, BOOL_TYPE_UNEXPECTED_STRING 9, BOOL_TYPE_UNEXPECTED_FLOAT 52,
    BOOL_TYPE_INVALID_CONFIG 88, ENUM_TYPE_BYTES_NOT_STRING 10, ENUM_TYPE_FLOAT_NOT_STRING 11,
    ENUM_TYPE_INT_NOT_STRING 12, ENUM_TYPE_INVALID_UTF8 13, ENUM_TYPE_UNEXPECTED_STRING_VALUES 14,
    FEATURE_TYPE_HIGH_NUMBER_VALUES 15, FEATURE_TYPE_LOW_FRACTION_PRESENT 16,
    FEATURE_TYPE_LOW_NUMBER_PRESENT 17, FEATURE_TYPE_LOW_NUMBER_VALUES 18, FEATURE_TYPE_NOT_PRESENT 19,
    FEATURE_TYPE_NO_VALUES 20, FEATURE_TYPE_UNEXPECTED_REPEATED 21, FEATURE_TYPE_HIGH_UNIQUE 59,
    FEATURE_TYPE_LOW_UNIQUE 60, FEATURE_TYPE_NO_UNIQUE 61, FLOAT_TYPE_BIG_FLOAT 22,
    FLOAT_TYPE_NOT_FLOAT 23, FLOAT_TYPE_SMALL_FLOAT 24, FLOAT_TYPE_STRING_NOT_FLOAT 25,
    FLOAT_TYPE_NON_STRING 26, FLOAT_TYPE_UNKNOWN_TYPE_NUMBER 27, FLOAT_TYPE_HAS_NAN 53,
    FLOAT_TYPE_HAS_INF 62, INT_TYPE_BIG_INT 28, INT_TYPE_INT_EXPECTED 29, INT_TYPE_NOT_INT_STRING 30,
    INT_TYPE_NOT_STRING 31, INT_TYPE_SMALL_INT 32, INT_TYPE_STRING_EXPECTED 33,
    INT_TYPE_UNKNOWN_TYPE_NUMBER 34, LOW_SUPPORTED_IMAGE_FRACTION 64, SCHEMA_MISSING_COLUMN 35,
    SCHEMA_NEW_COLUMN 36, SCHEMA_TRAINING_SERVING_SKEW 37, STRING_TYPE_NOW_FLOAT 38,
    STRING_TYPE_NOW_INT 39, COMPARATOR_CONTROL_DATA_MISSING 40, COMPARATOR_TREATMENT_DATA_MISSING 41,
    COMPARATOR_L_INFTY_HIGH 42, COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH 63,
    COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH 87, NO_DATA_IN_SPAN 43,
    SPARSE_FEATURE_MISSING_VALUE 44, SPARSE_FEATURE_MISSING_INDEX 45, SPARSE_FEATURE_LENGTH_MISMATCH 46,
    SPARSE_FEATURE_NAME_COLLISION 47, SEMANTIC_DOMAIN_UPDATE 48, COMPARATOR_LOW_NUM_EXAMPLES 49,
    COMPARATOR_HIGH_NUM_EXAMPLES 50, DATASET_LOW_NUM_EXAMPLES 51, DATASET_HIGH_NUM_EXAMPLES 58,
    WEIGHTED_FEATURE_NAME_COLLISION 54, WEIGHTED_FEATURE_MISSING_VALUE 55,
    WEIGHTED_FEATURE_MISSING_WEIGHT 56, WEIGHTED_FEATURE_LENGTH_MISMATCH 57,
    VALUE_NESTEDNESS_MISMATCH 65, DOMAIN_INVALID_FOR_TYPE 66, FEATURE_MISSING_NAME 67,
    FEATURE_MISSING_TYPE 68, INVALID_SCHEMA_SPECIFICATION 69, INVALID_DOMAIN_SPECIFICATION 81,
    UNEXPECTED_DATA_TYPE 70, SEQUENCE_VALUE_TOO_FEW_OCCURRENCES 71,
    SEQUENCE_VALUE_TOO_MANY_OCCURRENCES 72, SEQUENCE_VALUE_TOO_SMALL_FRACTION 73,
    SEQUENCE_VALUE_TOO_LARGE_FRACTION 74, FEATURE_COVERAGE_TOO_LOW 75,
    FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH 76, NLP_WRONG_LOCATION 77, EMBEDDING_SHAPE_INVALID 78,
    MAX_IMAGE_BYTE_SIZE_EXCEEDED 79, INVALID_FEATURE_SHAPE 80, STATS_NOT_AVAILABLE 83,
    DERIVED_FEATURE_BAD_LIFECYCLE 84, DERIVED_FEATURE_INVALID_SOURCE 85, CUSTOM_VALIDATION 86
AnomalyInfo.Reason: AnomalyInfo.Type type 1 default UNKNOWN_TYPE, string short_description 2,
    string description 3
DriftSkewInfo: Path path 1, repeated DriftSkewInfo.Measurement drift_measurements 2,
    repeated DriftSkewInfo.Measurement skew_measurements 3
DriftSkewInfo.Measurement: DriftSkewInfo.Measurement.Type type 1, double value 2, double threshold 3
enum DriftSkewInfo.Measurement.Type: UNKNOWN 0, L_INFTY 1, JENSEN_SHANNON_DIVERGENCE 2,
    NORMALIZED_ABSOLUTE_DIFFERENCE 3
Anomalies: Schema baseline 1 in baseline_schema, Schema baseline_v1 6 in baseline_schema deprecated,
    Anomalies.AnomalyNameFormat anomaly_name_format 7, map<string,AnomalyInfo> anomaly_info 2,
    AnomalyInfo dataset_anomaly_info 8, bool data_missing 3, repeated DriftSkewInfo drift_skew_info 9
enum Anomalies.AnomalyNameFormat: UNKNOWN 0, SERIALIZED_PATH 1
DiffRegion: UnchangedRegion unchanged 1 in details, OneSideRegion removed 2 in details,
    OneSideRegion added 3 in details, ChangedRegion changed 4 in details,
    HiddenRegion hidden 5 in details
UnchangedRegion: int32 left_start 1, int32 right_start 2, repeated string contents 3
OneSideRegion: int32 start 1, repeated string contents 2
ChangedRegion: int32 left_start 1, repeated string left_contents 2, int32 right_start 3,
    repeated string right_contents 4
HiddenRegion: int32 left_start 1, int32 right_start 2, int32 size 3
"""
