"""ML Metadata's published wire format as a table: what its two ``.proto`` files say, in the form `wire` reads.

One entry a message, ``Name: type field number, …``; a line that begins with spaces goes on with the entry before.
``in NAME`` puts a field into a oneof, ``default`` and ``deprecated`` are as in proto2. Names are in the package
``ml_metadata``; ``google.X`` is ``google.protobuf.X``.

Source:
    ML Metadata 1.17.1, ``metadata_store.proto`` and ``metadata_store_service.proto``; a test compares every
    field with the descriptors of its wheel.
"""

from __future__ import annotations

from typing import Final

STORE: Final = """
enum PropertyType: UNKNOWN 0, INT 1, DOUBLE 2, STRING 3, STRUCT 4, PROTO 5, BOOLEAN 6
SystemTypeExtension: string type_name 1
Value: int64 int_value 1 in value, double double_value 2 in value, string string_value 3 in value,
    google.Struct struct_value 4 in value, google.Any proto_value 5 in value, bool bool_value 6 in value
Artifact: int64 id 1, string name 7, int64 type_id 2, string type 8, string uri 3,
    string external_id 11, map<string,Value> properties 4, map<string,Value> custom_properties 5,
    Artifact.State state 6, int64 create_time_since_epoch 9, int64 last_update_time_since_epoch 10,
    google.Any system_metadata 12
enum Artifact.State: UNKNOWN 0, PENDING 1, LIVE 2, MARKED_FOR_DELETION 3, DELETED 4, ABANDONED 5,
    REFERENCE 6
ArtifactType: int64 id 1, string name 2, string version 4, string description 5, string external_id 7,
    map<string,PropertyType> properties 3, ArtifactType.SystemDefinedBaseType base_type 6
enum ArtifactType.SystemDefinedBaseType: UNSET 0, DATASET 1, MODEL 2, METRICS 3, STATISTICS 4
Event: int64 artifact_id 1, int64 execution_id 2, Event.Path path 3, Event.Type type 4,
    int64 milliseconds_since_epoch 5, google.Any system_metadata 6
enum Event.Type: UNKNOWN 0, DECLARED_OUTPUT 1, DECLARED_INPUT 2, INPUT 3, OUTPUT 4, INTERNAL_INPUT 5,
    INTERNAL_OUTPUT 6, PENDING_OUTPUT 7
Event.Path: repeated Event.Path.Step steps 1
Event.Path.Step: int64 index 1 in value, string key 2 in value
Execution: int64 id 1, string name 6, int64 type_id 2, string type 7, string external_id 10,
    Execution.State last_known_state 3, map<string,Value> properties 4,
    map<string,Value> custom_properties 5, int64 create_time_since_epoch 8,
    int64 last_update_time_since_epoch 9, google.Any system_metadata 11
enum Execution.State: UNKNOWN 0, NEW 1, RUNNING 2, COMPLETE 3, FAILED 4, CACHED 5, CANCELED 6
ExecutionType: int64 id 1, string name 2, string version 6, string description 7, string external_id 9,
    map<string,PropertyType> properties 3, ArtifactStructType input_type 4,
    ArtifactStructType output_type 5, ExecutionType.SystemDefinedBaseType base_type 8
enum ExecutionType.SystemDefinedBaseType: UNSET 0, TRAIN 1, TRANSFORM 2, PROCESS 3, EVALUATE 4, DEPLOY 5
ContextType: int64 id 1, string name 2, string version 4, string description 5, string external_id 7,
    map<string,PropertyType> properties 3, ContextType.SystemDefinedBaseType base_type 6
enum ContextType.SystemDefinedBaseType: UNSET 0
Context: int64 id 1, string name 3, int64 type_id 2, string type 6, string external_id 9,
    map<string,Value> properties 4, map<string,Value> custom_properties 5,
    int64 create_time_since_epoch 7, int64 last_update_time_since_epoch 8, google.Any system_metadata 10
Attribution: int64 artifact_id 1, int64 context_id 2, google.Any system_metadata 3
Association: int64 execution_id 1, int64 context_id 2, google.Any system_metadata 3
ParentContext: int64 child_id 1, int64 parent_id 2, google.Any system_metadata 3
LineageGraph: repeated ArtifactType artifact_types 1, repeated ExecutionType execution_types 2,
    repeated ContextType context_types 3, repeated Artifact artifacts 4,
    repeated Execution executions 5, repeated Context contexts 6, repeated Event events 7,
    repeated Attribution attributions 8, repeated Association associations 9,
    repeated ParentContext parent_contexts 10
ArtifactStructType: ArtifactType simple 1 in kind, UnionArtifactStructType union_type 2 in kind,
    IntersectionArtifactStructType intersection 3 in kind, ListArtifactStructType list 4 in kind,
    NoneArtifactStructType none 5 in kind, AnyArtifactStructType any 6 in kind,
    TupleArtifactStructType tuple 7 in kind, DictArtifactStructType dict 8 in kind
UnionArtifactStructType: repeated ArtifactStructType candidates 1
IntersectionArtifactStructType: repeated ArtifactStructType constraints 1
ListArtifactStructType: ArtifactStructType element 1
NoneArtifactStructType:
AnyArtifactStructType:
TupleArtifactStructType: repeated ArtifactStructType elements 1
DictArtifactStructType: map<string,ArtifactStructType> properties 1, bool none_type_not_required 2,
    ArtifactStructType extra_properties_type 3
FakeDatabaseConfig:
MySQLDatabaseConfig: string host 1, int64 port 2, string database 3, string user 4, string password 5,
    string socket 6, MySQLDatabaseConfig.SSLOptions ssl_options 7, bool skip_db_creation 8
MySQLDatabaseConfig.SSLOptions: string key 1, string cert 2, string ca 3, string capath 4,
    string cipher 5, bool verify_server_cert 6
SqliteMetadataSourceConfig: string filename_uri 1,
    SqliteMetadataSourceConfig.ConnectionMode connection_mode 2
enum SqliteMetadataSourceConfig.ConnectionMode: UNKNOWN 0, READONLY 1, READWRITE 2,
    READWRITE_OPENCREATE 3
PostgreSQLDatabaseConfig: string host 1, string hostaddr 2, string port 3, string user 4,
    string password 5, string passfile 6, string dbname 7, bool skip_db_creation 8,
    PostgreSQLDatabaseConfig.SSLOptions ssloption 9
PostgreSQLDatabaseConfig.SSLOptions: string sslmode 1, string sslcert 2, string sslkey 3,
    string sslpassword 4, string sslrootcert 5
MigrationOptions: bool enable_upgrade_migration 3, int64 downgrade_to_schema_version 2 default -1
RetryOptions: int64 max_num_retries 1
ConnectionConfig: FakeDatabaseConfig fake_database 1 in config, MySQLDatabaseConfig mysql 2 in config,
    SqliteMetadataSourceConfig sqlite 3 in config, PostgreSQLDatabaseConfig postgresql 5 in config,
    RetryOptions retry_options 4
GrpcChannelArguments: int64 max_receive_message_length 1, int64 http2_max_ping_strikes 2
MetadataStoreClientConfig: string host 1, int64 port 2,
    MetadataStoreClientConfig.SSLConfig ssl_config 3, GrpcChannelArguments channel_arguments 4,
    double client_timeout_sec 5
MetadataStoreClientConfig.SSLConfig: string client_key 1, string server_cert 2, string custom_ca 3
MetadataStoreServerConfig: ConnectionConfig connection_config 1, MigrationOptions migration_options 3,
    MetadataStoreServerConfig.SSLConfig ssl_config 2
MetadataStoreServerConfig.SSLConfig: string server_key 1, string server_cert 2, string custom_ca 3,
    bool client_verify 4
ListOperationOptions: int32 max_result_size 1 default 20,
    ListOperationOptions.OrderByField order_by_field 2, string next_page_token 3, string filter_query 4
ListOperationOptions.OrderByField: ListOperationOptions.OrderByField.Field field 1 default ID,
    bool is_asc 2 default true
enum ListOperationOptions.OrderByField.Field: FIELD_UNSPECIFIED 0, CREATE_TIME 1, LAST_UPDATE_TIME 2,
    ID 3
ListOperationNextPageToken: int64 id_offset 1, int64 field_offset 2, ListOperationOptions set_options 3,
    repeated int64 listed_ids 4
TransactionOptions: string tag 1
LineageGraphQueryOptions: ListOperationOptions artifacts_options 1 in query_nodes,
    LineageGraphQueryOptions.BoundaryConstraint stop_conditions 2, int64 max_node_size 3 default 20
LineageGraphQueryOptions.BoundaryConstraint: int64 max_num_hops 1, string boundary_artifacts 2,
    string boundary_executions 3
LineageSubgraphQueryOptions:
    LineageSubgraphQueryOptions.StartingNodes starting_artifacts 1 in starting_nodes,
    LineageSubgraphQueryOptions.StartingNodes starting_executions 2 in starting_nodes,
    int64 max_num_hops 3, LineageSubgraphQueryOptions.Direction direction 4,
    LineageSubgraphQueryOptions.EndingNodes ending_artifacts 5,
    LineageSubgraphQueryOptions.EndingNodes ending_executions 6
enum LineageSubgraphQueryOptions.Direction: DIRECTION_UNSPECIFIED 0, UPSTREAM 1, DOWNSTREAM 2,
    BIDIRECTIONAL 3
LineageSubgraphQueryOptions.StartingNodes: string filter_query 1
LineageSubgraphQueryOptions.EndingNodes: string filter_query 1,
    bool include_ending_nodes 2 default false
"""

SERVICE: Final = """
ArtifactAndType: Artifact artifact 1, ArtifactType type 2
ArtifactStructMap: map<string,ArtifactStruct> properties 1
ArtifactStructList: repeated ArtifactStruct elements 1
ArtifactStruct: ArtifactAndType artifact 1 in value, ArtifactStructMap map 2 in value,
    ArtifactStructList list 3 in value
PutArtifactsRequest: repeated Artifact artifacts 1, PutArtifactsRequest.Options options 2,
    TransactionOptions transaction_options 3, google.FieldMask update_mask 4
PutArtifactsRequest.Options: bool abort_if_latest_updated_time_changed 1
PutArtifactsResponse: repeated int64 artifact_ids 1
PutArtifactTypeRequest: ArtifactType artifact_type 1, bool can_add_fields 2, bool can_omit_fields 5,
    bool can_delete_fields 3 deprecated, bool all_fields_match 4 default true deprecated,
    TransactionOptions transaction_options 6
PutArtifactTypeResponse: int64 type_id 1
PutExecutionsRequest: repeated Execution executions 1, TransactionOptions transaction_options 2,
    google.FieldMask update_mask 3
PutExecutionsResponse: repeated int64 execution_ids 1
PutExecutionTypeRequest: ExecutionType execution_type 1, bool can_add_fields 2, bool can_omit_fields 5,
    bool can_delete_fields 3 deprecated, bool all_fields_match 4 default true deprecated,
    TransactionOptions transaction_options 6
PutExecutionTypeResponse: int64 type_id 1
PutEventsRequest: repeated Event events 1, TransactionOptions transaction_options 2
PutEventsResponse:
PutExecutionRequest: Execution execution 1,
    repeated PutExecutionRequest.ArtifactAndEvent artifact_event_pairs 2, repeated Context contexts 3,
    PutExecutionRequest.Options options 4, TransactionOptions transaction_options 5
PutExecutionRequest.ArtifactAndEvent: Artifact artifact 1, Event event 2
PutExecutionRequest.Options: bool reuse_context_if_already_exist 1,
    bool reuse_artifact_if_already_exist_by_external_id 2, bool force_update_time 3,
    bool force_reuse_context 4
PutExecutionResponse: int64 execution_id 1, repeated int64 artifact_ids 2, repeated int64 context_ids 3
PutLineageSubgraphRequest: repeated Execution executions 1, repeated Artifact artifacts 2,
    repeated Context contexts 3, repeated PutLineageSubgraphRequest.EventEdge event_edges 4,
    PutLineageSubgraphRequest.Options options 5, TransactionOptions transaction_options 6
PutLineageSubgraphRequest.EventEdge: int32 execution_index 1, int32 artifact_index 2, Event event 3
PutLineageSubgraphRequest.Options: bool reuse_context_if_already_exist 1,
    bool reuse_artifact_if_already_exist_by_external_id 2
PutLineageSubgraphResponse: repeated int64 execution_ids 1, repeated int64 artifact_ids 2,
    repeated int64 context_ids 3
PutTypesRequest: repeated ArtifactType artifact_types 1, repeated ExecutionType execution_types 2,
    repeated ContextType context_types 3, bool can_add_fields 4, bool can_omit_fields 7,
    bool can_delete_fields 5 deprecated, bool all_fields_match 6 default true deprecated,
    TransactionOptions transaction_options 8
PutTypesResponse: repeated int64 artifact_type_ids 1, repeated int64 execution_type_ids 2,
    repeated int64 context_type_ids 3
PutContextTypeRequest: ContextType context_type 1, bool can_add_fields 2, bool can_omit_fields 5,
    bool can_delete_fields 3 deprecated, bool all_fields_match 4 default true deprecated,
    TransactionOptions transaction_options 6
PutContextTypeResponse: int64 type_id 1
PutContextsRequest: repeated Context contexts 1, TransactionOptions transaction_options 2,
    google.FieldMask update_mask 3
PutContextsResponse: repeated int64 context_ids 1
PutAttributionsAndAssociationsRequest: repeated Attribution attributions 1,
    repeated Association associations 2, TransactionOptions transaction_options 3
PutAttributionsAndAssociationsResponse:
PutParentContextsRequest: repeated ParentContext parent_contexts 1,
    TransactionOptions transaction_options 2
PutParentContextsResponse:
GetArtifactsByTypeRequest: string type_name 1, string type_version 2, ListOperationOptions options 3,
    TransactionOptions transaction_options 4
GetArtifactsByTypeResponse: repeated Artifact artifacts 1, string next_page_token 2
GetArtifactByTypeAndNameRequest: string type_name 1, string type_version 3, string artifact_name 2,
    TransactionOptions transaction_options 4
GetArtifactByTypeAndNameResponse: Artifact artifact 1
GetArtifactsByIDRequest: repeated int64 artifact_ids 1, bool populate_artifact_types 3 default false,
    TransactionOptions transaction_options 2
GetArtifactsByIDResponse: repeated Artifact artifacts 1, repeated ArtifactType artifact_types 2
GetArtifactsRequest: ListOperationOptions options 1, TransactionOptions transaction_options 2
GetArtifactsResponse: repeated Artifact artifacts 1, string next_page_token 2
GetArtifactsByURIRequest: repeated string uris 2, TransactionOptions transaction_options 3
GetArtifactsByURIResponse: repeated Artifact artifacts 1
GetExecutionsRequest: ListOperationOptions options 1, TransactionOptions transaction_options 2
GetExecutionsResponse: repeated Execution executions 1, string next_page_token 2
GetArtifactTypeRequest: string type_name 1, string type_version 2,
    TransactionOptions transaction_options 3
GetArtifactTypeResponse: ArtifactType artifact_type 1
GetArtifactTypesRequest: TransactionOptions transaction_options 1
GetArtifactTypesResponse: repeated ArtifactType artifact_types 1
GetExecutionTypesRequest: TransactionOptions transaction_options 1
GetExecutionTypesResponse: repeated ExecutionType execution_types 1
GetContextTypesRequest: TransactionOptions transaction_options 1
GetContextTypesResponse: repeated ContextType context_types 1
GetArtifactsByExternalIdsRequest: repeated string external_ids 1,
    TransactionOptions transaction_options 2
GetArtifactsByExternalIdsResponse: repeated Artifact artifacts 1
GetExecutionsByExternalIdsRequest: repeated string external_ids 1,
    TransactionOptions transaction_options 2
GetExecutionsByExternalIdsResponse: repeated Execution executions 1
GetContextsByExternalIdsRequest: repeated string external_ids 1,
    TransactionOptions transaction_options 2
GetContextsByExternalIdsResponse: repeated Context contexts 1
GetArtifactTypesByExternalIdsRequest: repeated string external_ids 1,
    TransactionOptions transaction_options 2
GetArtifactTypesByExternalIdsResponse: repeated ArtifactType artifact_types 1
GetExecutionTypesByExternalIdsRequest: repeated string external_ids 1,
    TransactionOptions transaction_options 2
GetExecutionTypesByExternalIdsResponse: repeated ExecutionType execution_types 1
GetContextTypesByExternalIdsRequest: repeated string external_ids 1,
    TransactionOptions transaction_options 2
GetContextTypesByExternalIdsResponse: repeated ContextType context_types 1
GetExecutionsByTypeRequest: string type_name 1, string type_version 2, ListOperationOptions options 3,
    TransactionOptions transaction_options 4
GetExecutionsByTypeResponse: repeated Execution executions 1, string next_page_token 2
GetExecutionByTypeAndNameRequest: string type_name 1, string type_version 3, string execution_name 2,
    TransactionOptions transaction_options 4
GetExecutionByTypeAndNameResponse: Execution execution 1
GetExecutionsByIDRequest: repeated int64 execution_ids 1, TransactionOptions transaction_options 2
GetExecutionsByIDResponse: repeated Execution executions 1
GetExecutionTypeRequest: string type_name 1, string type_version 2,
    TransactionOptions transaction_options 3
GetExecutionTypeResponse: ExecutionType execution_type 1
GetEventsByExecutionIDsRequest: repeated int64 execution_ids 1, TransactionOptions transaction_options 2
GetEventsByExecutionIDsResponse: repeated Event events 1
GetEventsByArtifactIDsRequest: repeated int64 artifact_ids 1, TransactionOptions transaction_options 2
GetEventsByArtifactIDsResponse: repeated Event events 1
GetArtifactTypesByIDRequest: repeated int64 type_ids 1, TransactionOptions transaction_options 2
GetArtifactTypesByIDResponse: repeated ArtifactType artifact_types 1
GetExecutionTypesByIDRequest: repeated int64 type_ids 1, TransactionOptions transaction_options 2
GetExecutionTypesByIDResponse: repeated ExecutionType execution_types 1
GetContextTypeRequest: string type_name 1, string type_version 2,
    TransactionOptions transaction_options 3
GetContextTypeResponse: ContextType context_type 1
GetContextTypesByIDRequest: repeated int64 type_ids 1, TransactionOptions transaction_options 2
GetContextTypesByIDResponse: repeated ContextType context_types 1
GetContextsRequest: ListOperationOptions options 1, TransactionOptions transaction_options 2
GetContextsResponse: repeated Context contexts 1, string next_page_token 2
GetContextsByTypeRequest: string type_name 1, ListOperationOptions options 2, string type_version 3,
    TransactionOptions transaction_options 4
GetContextsByTypeResponse: repeated Context contexts 1, string next_page_token 2
GetContextByTypeAndNameRequest: string type_name 1, string type_version 3, string context_name 2,
    TransactionOptions transaction_options 4
GetContextByTypeAndNameResponse: Context context 1
GetContextsByIDRequest: repeated int64 context_ids 1, TransactionOptions transaction_options 2
GetContextsByIDResponse: repeated Context contexts 1
GetContextsByArtifactRequest: int64 artifact_id 1, TransactionOptions transaction_options 2
GetContextsByArtifactResponse: repeated Context contexts 1
GetContextsByExecutionRequest: int64 execution_id 1, TransactionOptions transaction_options 2
GetContextsByExecutionResponse: repeated Context contexts 1
GetParentContextsByContextRequest: int64 context_id 1, TransactionOptions transaction_options 2
GetParentContextsByContextResponse: repeated Context contexts 1
GetChildrenContextsByContextRequest: int64 context_id 1, TransactionOptions transaction_options 2
GetChildrenContextsByContextResponse: repeated Context contexts 1
GetParentContextsByContextsRequest: repeated int64 context_ids 1,
    TransactionOptions transaction_options 2
GetParentContextsByContextsResponse:
    map<int64,GetParentContextsByContextsResponse.ParentContextsPerChild> contexts 2
GetParentContextsByContextsResponse.ParentContextsPerChild: repeated Context parent_contexts 1
GetChildrenContextsByContextsRequest: repeated int64 context_ids 1,
    TransactionOptions transaction_options 2
GetChildrenContextsByContextsResponse:
    map<int64,GetChildrenContextsByContextsResponse.ChildrenContextsPerParent> contexts 2
GetChildrenContextsByContextsResponse.ChildrenContextsPerParent: repeated Context children_contexts 1
GetArtifactsByContextRequest: int64 context_id 1, ListOperationOptions options 2,
    TransactionOptions transaction_options 3
GetArtifactsByContextResponse: repeated Artifact artifacts 1, string next_page_token 2
GetExecutionsByContextRequest: int64 context_id 1, ListOperationOptions options 2,
    TransactionOptions transaction_options 3
GetExecutionsByContextResponse: repeated Execution executions 1, string next_page_token 2,
    TransactionOptions transaction_options 3
GetLineageGraphRequest: LineageGraphQueryOptions options 1, TransactionOptions transaction_options 2
GetLineageGraphResponse: LineageGraph subgraph 1
GetLineageSubgraphRequest: LineageSubgraphQueryOptions lineage_subgraph_query_options 1,
    google.FieldMask read_mask 3, TransactionOptions transaction_options 2
GetLineageSubgraphResponse: LineageGraph lineage_subgraph 1
"""

METHODS: Final = tuple(
    """
    PutArtifactType PutExecutionType PutContextType PutTypes PutArtifacts PutExecutions PutEvents
    PutExecution PutLineageSubgraph PutContexts PutAttributionsAndAssociations PutParentContexts
    GetArtifactType GetArtifactTypesByID GetArtifactTypes GetExecutionType GetExecutionTypesByID
    GetExecutionTypes GetContextType GetContextTypesByID GetContextTypes GetArtifacts GetExecutions
    GetContexts GetArtifactsByID GetExecutionsByID GetContextsByID GetArtifactsByType
    GetExecutionsByType GetContextsByType GetArtifactByTypeAndName GetExecutionByTypeAndName
    GetContextByTypeAndName GetArtifactsByURI GetEventsByExecutionIDs GetEventsByArtifactIDs
    GetArtifactsByExternalIds GetExecutionsByExternalIds GetContextsByExternalIds
    GetArtifactTypesByExternalIds GetExecutionTypesByExternalIds GetContextTypesByExternalIds
    GetContextsByArtifact GetContextsByExecution GetParentContextsByContext GetChildrenContextsByContext
    GetParentContextsByContexts GetChildrenContextsByContexts GetArtifactsByContext
    GetExecutionsByContext GetLineageGraph GetLineageSubgraph
    """.split()  # noqa: SIM905 - a list of 52 names in quotes would be longer than the table
)
"""The methods of ``ml_metadata.MetadataStoreService``; each takes its own ``…Request`` and gives its ``…Response``."""
