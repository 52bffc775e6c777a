# SPDX-License-Identifier: Apache-2.0
"""Broker errors of consumers, groups and administration, which a producer does not meet but whose numbers it must
be able to name. Users import them from :mod:`pykafka_fast.errors`."""

from __future__ import annotations

from .kafka_error import AuthorizationError, BrokerResponseError, RetriableError


class OffsetOutOfRangeError(BrokerResponseError, code=1, name="OFFSET_OUT_OF_RANGE"):
    """The offset lies outside the partition's log."""


class InvalidFetchRequestError(BrokerResponseError, code=4, name="INVALID_FETCH_SIZE"):
    """The fetch size is not valid."""


class OffsetMetadataTooLargeError(BrokerResponseError, code=12, name="OFFSET_METADATA_TOO_LARGE"):
    """The text stored with an offset is too long."""


class IllegalGenerationError(BrokerResponseError, code=22, name="ILLEGAL_GENERATION"):
    """The consumer group has moved on to another generation."""


class InconsistentGroupProtocolError(BrokerResponseError, code=23, name="INCONSISTENT_GROUP_PROTOCOL"):
    """The member shares no protocol with the rest of its group."""


class InvalidGroupIdError(BrokerResponseError, code=24, name="INVALID_GROUP_ID"):
    """The group id is not valid."""


class UnknownMemberIdError(BrokerResponseError, code=25, name="UNKNOWN_MEMBER_ID"):
    """The coordinator does not know this group member."""


class InvalidSessionTimeoutError(BrokerResponseError, code=26, name="INVALID_SESSION_TIMEOUT"):
    """The session timeout lies outside the broker's limits."""


class RebalanceInProgressError(BrokerResponseError, code=27, name="REBALANCE_IN_PROGRESS"):
    """The group is rebalancing; join it again."""


class InvalidCommitOffsetSizeError(BrokerResponseError, code=28, name="INVALID_COMMIT_OFFSET_SIZE"):
    """The offset commit is too large to be stored."""


class TopicAlreadyExistsError(BrokerResponseError, code=36, name="TOPIC_ALREADY_EXISTS"):
    """There is a topic of this name already."""


class InvalidPartitionsError(BrokerResponseError, code=37, name="INVALID_PARTITIONS"):
    """The number of partitions is not valid."""


class InvalidReplicationFactorError(BrokerResponseError, code=38, name="INVALID_REPLICATION_FACTOR"):
    """The replication factor is below 1 or above the number of brokers."""


class InvalidReplicationAssignmentError(BrokerResponseError, code=39, name="INVALID_REPLICA_ASSIGNMENT"):
    """The assignment of replicas to brokers is not valid."""


class InvalidConfigurationError(BrokerResponseError, code=40, name="INVALID_CONFIG"):
    """A configuration value is not valid."""


class SecurityDisabledError(BrokerResponseError, code=54, name="SECURITY_DISABLED"):
    """The cluster has no authorizer, so there are no permissions to manage."""


class OperationNotAttemptedError(BrokerResponseError, code=55, name="OPERATION_NOT_ATTEMPTED"):
    """Another part of the request failed before this one was tried."""


class LogDirNotFoundError(BrokerResponseError, code=57, name="LOG_DIR_NOT_FOUND"):
    """The broker has no such log directory."""


class ReassignmentInProgressError(BrokerResponseError, code=60, name="REASSIGNMENT_IN_PROGRESS"):
    """A reassignment of partitions is under way."""


class DelegationTokenAuthDisabledError(BrokerResponseError, code=61, name="DELEGATION_TOKEN_AUTH_DISABLED"):
    """The cluster does not use delegation tokens."""


class DelegationTokenNotFoundError(BrokerResponseError, code=62, name="DELEGATION_TOKEN_NOT_FOUND"):
    """The broker does not know this delegation token."""


class DelegationTokenOwnerMismatchError(BrokerResponseError, code=63, name="DELEGATION_TOKEN_OWNER_MISMATCH"):
    """The delegation token belongs to somebody else."""


class DelegationTokenRequestNotAllowedError(BrokerResponseError, code=64, name="DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"):
    """Delegation tokens cannot be managed over this kind of connection."""


class DelegationTokenAuthorizationFailedError(AuthorizationError, code=65,
                                              name="DELEGATION_TOKEN_AUTHORIZATION_FAILED"):
    """No permission for the delegation token."""


class DelegationTokenExpiredError(BrokerResponseError, code=66, name="DELEGATION_TOKEN_EXPIRED"):
    """The delegation token has expired."""


class InvalidPrincipalTypeError(BrokerResponseError, code=67, name="INVALID_PRINCIPAL_TYPE"):
    """The kind of principal is not supported."""


class NonEmptyGroupError(BrokerResponseError, code=68, name="NON_EMPTY_GROUP"):
    """The consumer group still has members."""


class GroupIdNotFoundError(BrokerResponseError, code=69, name="GROUP_ID_NOT_FOUND"):
    """There is no such consumer group."""


class FetchSessionIdNotFoundError(RetriableError, BrokerResponseError, code=70, name="FETCH_SESSION_ID_NOT_FOUND"):
    """The broker has dropped this fetch session."""


class InvalidFetchSessionEpochError(RetriableError, BrokerResponseError, code=71, name="INVALID_FETCH_SESSION_EPOCH"):
    """The fetch session is at another epoch."""


class TopicDeletionDisabledError(BrokerResponseError, code=73, name="TOPIC_DELETION_DISABLED"):
    """The cluster does not allow topics to be deleted."""


class StaleBrokerEpochError(BrokerResponseError, code=77, name="STALE_BROKER_EPOCH"):
    """The broker has been registered anew since."""


class MemberIdRequiredError(BrokerResponseError, code=79, name="MEMBER_ID_REQUIRED"):
    """Join again with the member id the coordinator has just given."""


class GroupMaxSizeReachedError(BrokerResponseError, code=81, name="GROUP_MAX_SIZE_REACHED"):
    """The consumer group is full."""


class FencedInstanceIdError(BrokerResponseError, code=82, name="FENCED_INSTANCE_ID"):
    """Another member with the same group.instance.id has taken over."""


class NoReassignmentInProgressError(BrokerResponseError, code=85, name="NO_REASSIGNMENT_IN_PROGRESS"):
    """There is no reassignment to act on."""


class GroupSubscribedToTopicError(BrokerResponseError, code=86, name="GROUP_SUBSCRIBED_TO_TOPIC"):
    """The group still reads the topic whose offsets were to be deleted."""


class ResourceNotFoundError(BrokerResponseError, code=91, name="RESOURCE_NOT_FOUND"):
    """What the request names does not exist."""


class DuplicateResourceError(BrokerResponseError, code=92, name="DUPLICATE_RESOURCE"):
    """The request names the same thing twice."""


class UnacceptableCredentialError(BrokerResponseError, code=93, name="UNACCEPTABLE_CREDENTIAL"):
    """The credential does not meet the broker's rules."""


class InconsistentVoterSetError(BrokerResponseError, code=94, name="INCONSISTENT_VOTER_SET"):
    """The controllers disagree about who votes."""


class InvalidUpdateVersionError(BrokerResponseError, code=95, name="INVALID_UPDATE_VERSION"):
    """The version to update to is not valid."""


class FeatureUpdateFailedError(BrokerResponseError, code=96, name="FEATURE_UPDATE_FAILED"):
    """The cluster's features could not be updated."""


class PrincipalDeserializationFailureError(BrokerResponseError, code=97, name="PRINCIPAL_DESERIALIZATION_FAILURE"):
    """A forwarded request carries a principal that cannot be read."""


class SnapshotNotFoundError(BrokerResponseError, code=98, name="SNAPSHOT_NOT_FOUND"):
    """There is no such metadata snapshot."""


class PositionOutOfRangeError(BrokerResponseError, code=99, name="POSITION_OUT_OF_RANGE"):
    """The position lies outside the metadata snapshot."""


class DuplicateBrokerRegistrationError(BrokerResponseError, code=101, name="DUPLICATE_BROKER_REGISTRATION"):
    """Another broker runs under the same id."""


class BrokerIdNotRegisteredError(BrokerResponseError, code=102, name="BROKER_ID_NOT_REGISTERED"):
    """No broker is registered under this id."""


class FetchSessionTopicIdError(RetriableError, BrokerResponseError, code=106, name="FETCH_SESSION_TOPIC_ID_ERROR"):
    """The fetch session mixes topic names and topic ids."""


class IneligibleReplicaError(BrokerResponseError, code=107, name="INELIGIBLE_REPLICA"):
    """The replica may not join those in sync."""


class NewLeaderElectedError(BrokerResponseError, code=108, name="NEW_LEADER_ELECTED"):
    """The change to the replicas in sync also elected a new leader."""


class OffsetMovedToTieredStorageError(BrokerResponseError, code=109, name="OFFSET_MOVED_TO_TIERED_STORAGE"):
    """The offset is only in remote storage now."""


class FencedMemberEpochError(BrokerResponseError, code=110, name="FENCED_MEMBER_EPOCH"):
    """The coordinator has fenced this member's epoch; join again."""


class UnreleasedInstanceIdError(BrokerResponseError, code=111, name="UNRELEASED_INSTANCE_ID"):
    """A member with the same instance id is still in the group."""


class UnsupportedAssignorError(BrokerResponseError, code=112, name="UNSUPPORTED_ASSIGNOR"):
    """The coordinator does not know this assignor."""


class StaleMemberEpochError(BrokerResponseError, code=113, name="STALE_MEMBER_EPOCH"):
    """The member's epoch is out of date."""


class MismatchedEndpointTypeError(BrokerResponseError, code=114, name="MISMATCHED_ENDPOINT_TYPE"):
    """The request went to a broker instead of a controller, or the other way round."""


class UnsupportedEndpointTypeError(BrokerResponseError, code=115, name="UNSUPPORTED_ENDPOINT_TYPE"):
    """This kind of endpoint does not serve the request yet."""


class UnknownControllerIdError(BrokerResponseError, code=116, name="UNKNOWN_CONTROLLER_ID"):
    """No controller has this id."""


class InvalidRegistrationError(BrokerResponseError, code=119, name="INVALID_REGISTRATION"):
    """The controller refused the broker's registration."""


class InvalidRecordStateError(BrokerResponseError, code=121, name="INVALID_RECORD_STATE"):
    """The acknowledgement does not fit the state of the shared record."""


class ShareSessionNotFoundError(RetriableError, BrokerResponseError, code=122, name="SHARE_SESSION_NOT_FOUND"):
    """The broker has dropped this share session."""


class InvalidShareSessionEpochError(RetriableError, BrokerResponseError, code=123, name="INVALID_SHARE_SESSION_EPOCH"):
    """The share session is at another epoch."""


class FencedStateEpochError(BrokerResponseError, code=124, name="FENCED_STATE_EPOCH"):
    """The share coordinator knows a newer state epoch."""


class InvalidVoterKeyError(BrokerResponseError, code=125, name="INVALID_VOTER_KEY"):
    """The voter key does not match the receiver."""


class DuplicateVoterError(BrokerResponseError, code=126, name="DUPLICATE_VOTER"):
    """The voter is in the set already."""


class VoterNotFoundError(BrokerResponseError, code=127, name="VOTER_NOT_FOUND"):
    """The voter is not in the set."""


class InvalidRegularExpressionError(BrokerResponseError, code=128, name="INVALID_REGULAR_EXPRESSION"):
    """The regular expression is not valid."""


class StreamsInvalidTopologyError(BrokerResponseError, code=130, name="STREAMS_INVALID_TOPOLOGY"):
    """The Streams topology is not valid."""


class StreamsInvalidTopologyEpochError(BrokerResponseError, code=131, name="STREAMS_INVALID_TOPOLOGY_EPOCH"):
    """The epoch of the Streams topology is not valid."""


class StreamsTopologyFencedError(BrokerResponseError, code=132, name="STREAMS_TOPOLOGY_FENCED"):
    """The group has a newer Streams topology."""


class ShareSessionLimitReachedError(RetriableError, BrokerResponseError, code=133, name="SHARE_SESSION_LIMIT_REACHED"):
    """The broker cannot open more share sessions."""


class GroupDeletionFailedError(BrokerResponseError, code=134, name="GROUP_DELETION_FAILED"):
    """The group could not be deleted."""


class StreamsTopologyDescriptionUpdateFailedError(BrokerResponseError, code=135,
                                                  name="STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED"):
    """The description of the Streams topology could not be stored."""


class ControllerIdNotRegisteredError(BrokerResponseError, code=136, name="CONTROLLER_ID_NOT_REGISTERED"):
    """No controller is registered under this id."""
