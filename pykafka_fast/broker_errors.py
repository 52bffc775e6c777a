# SPDX-License-Identifier: Apache-2.0
"""Broker errors that a producer can meet. Users import them from :mod:`pykafka_fast.errors`."""

from __future__ import annotations

from .kafka_error import AuthorizationError, BrokerResponseError, InvalidMetadataError, RetriableError


class UnknownError(
    BrokerResponseError, code=-1, name="UNKNOWN_SERVER_ERROR",
    remedy="See the broker's log; sent again, the record may be there twice."
):
    """The broker failed in a way it has no number for; its log says more."""


class NoError(BrokerResponseError, code=0, name="NONE"):
    """Success."""


class CorruptRecordError(
    RetriableError, BrokerResponseError, code=2, name="CORRUPT_MESSAGE",
    remedy="A topic with cleanup.policy=compact needs a key for every record."
):
    """The broker found a record batch whose checksum or structure is wrong: damaged on the way, or a null key
    on a compacted topic."""


class UnknownTopicOrPartitionError(
    InvalidMetadataError, BrokerResponseError, code=3, name="UNKNOWN_TOPIC_OR_PARTITION",
    remedy="Create the topic, or let auto.create.topics.enable; check its name and DESCRIBE permission."
):
    """The broker does not host this topic or partition: not created yet, deleted, moved, or hidden from us."""


class LeaderNotAvailableError(
    InvalidMetadataError, BrokerResponseError, code=5, name="LEADER_NOT_AVAILABLE",
    remedy="Give elections longer than delivery_timeout_ms, or look why no replica can lead."
):
    """The partition has no leader at the moment; an election is under way."""


class NotLeaderForPartitionError(
    InvalidMetadataError, BrokerResponseError, code=6, name="NOT_LEADER_OR_FOLLOWER",
    remedy="Look why the cluster's metadata does not settle on one leader."
):
    """This broker no longer leads the partition."""


class RequestTimedOutError(
    RetriableError, BrokerResponseError, code=7, name="REQUEST_TIMED_OUT",
    remedy="Look for replicas that lag; raise request_timeout_ms if the cluster is merely slow."
):
    """The request was not finished in time; with acks=all the record may have been written nevertheless."""


class BrokerNotAvailableError(BrokerResponseError, code=8, name="BROKER_NOT_AVAILABLE"):
    """The broker is not available."""


class ReplicaNotAvailableError(
    InvalidMetadataError, BrokerResponseError, code=9, name="REPLICA_NOT_AVAILABLE",
    remedy="See the broker's log."
):
    """A replica that was expected on this broker is not there."""


class MessageSizeTooLargeError(BrokerResponseError, code=10, name="MESSAGE_TOO_LARGE"):
    """The record is larger than allowed: lower its size, or raise max_request_size here and max.message.bytes of
    the topic."""


class StaleControllerEpochError(BrokerResponseError, code=11, name="STALE_CONTROLLER_EPOCH"):
    """The controller has moved to another broker."""


class NetworkExceptionError(
    InvalidMetadataError, BrokerResponseError, code=13, name="NETWORK_EXCEPTION",
    remedy="Check network and brokers; raise delivery_timeout_ms to sit out longer failures."
):
    """The broker was cut off before it answered."""


class CoordinatorLoadInProgressError(RetriableError, BrokerResponseError, code=14,
                                     name="COORDINATOR_LOAD_IN_PROGRESS"):
    """The coordinator is still reading its state."""


class CoordinatorNotAvailableError(RetriableError, BrokerResponseError, code=15, name="COORDINATOR_NOT_AVAILABLE"):
    """There is no coordinator at the moment."""


class NotCoordinatorError(RetriableError, BrokerResponseError, code=16, name="NOT_COORDINATOR"):
    """This broker is not the coordinator any more."""


class InvalidTopicError(
    BrokerResponseError, code=17, name="INVALID_TOPIC_EXCEPTION",
    remedy="Send to another topic."
):
    """A topic name that is not allowed (1 to 249 of a-z A-Z 0-9 . _ -, neither '.' nor '..'), or an internal topic."""


class RecordListTooLargeError(
    BrokerResponseError, code=18, name="RECORD_LIST_TOO_LARGE",
    remedy="Lower its size, or raise the topic's segment.bytes."
):
    """The record is larger than a log segment of the topic."""


class NotEnoughReplicasError(
    RetriableError, BrokerResponseError, code=19, name="NOT_ENOUGH_REPLICAS",
    remedy="Bring the missing replicas back, or lower min.insync.replicas."
):
    """Fewer replicas are in sync than min.insync.replicas demands; nothing was written."""


class NotEnoughReplicasAfterAppendError(
    RetriableError, BrokerResponseError, code=20, name="NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    remedy="Bring the missing replicas back; sent again without idempotence, the record may be there twice."
):
    """Written by the leader, but fewer replicas are in sync than min.insync.replicas demands."""


class InvalidRequiredAcksError(
    BrokerResponseError, code=21, name="INVALID_REQUIRED_ACKS",
    remedy="Set acks to one of them."
):
    """The broker does not know this value of acks; 0, 1 and 'all' are valid."""


class TopicAuthorizationFailedError(
    AuthorizationError, code=29, name="TOPIC_AUTHORIZATION_FAILED",
    remedy="Grant them."
):
    """No permission for the topic: the principal needs WRITE and DESCRIBE."""


class GroupAuthorizationFailedError(AuthorizationError, code=30, name="GROUP_AUTHORIZATION_FAILED"):
    """No permission for the consumer group."""


class ClusterAuthorizationFailedError(
    AuthorizationError, code=31, name="CLUSTER_AUTHORIZATION_FAILED",
    remedy="Grant it, or set enable_idempotence=False."
):
    """No permission for the cluster: idempotent producers of old brokers need IDEMPOTENT_WRITE."""


class InvalidTimestampError(
    BrokerResponseError, code=32, name="INVALID_TIMESTAMP",
    remedy="Correct it, or raise the topic's message.timestamp.before.max.ms or message.timestamp.after.max.ms."
):
    """The record's timestamp is further from the broker's clock than the topic allows."""


class UnsupportedSaslMechanismError(
    BrokerResponseError, code=33, name="UNSUPPORTED_SASL_MECHANISM",
    remedy="Use one of those it offers."
):
    """The broker does not offer this SASL mechanism on this listener."""


class IllegalSaslStateError(
    BrokerResponseError, code=34, name="ILLEGAL_SASL_STATE",
    remedy="Check that nothing between client and broker changes the bytes."
):
    """A request that does not fit the state of the SASL exchange."""


class UnsupportedVersionError(
    BrokerResponseError, code=35, name="UNSUPPORTED_VERSION",
    remedy="Upgrade the broker, or do without what needs the newer request."
):
    """The broker does not know this version of the request."""


class IncompatibleBrokerVersion(UnsupportedVersionError):
    """The broker is too old for what was asked."""


class NotControllerError(RetriableError, BrokerResponseError, code=41, name="NOT_CONTROLLER"):
    """This broker is not the controller."""


class InvalidRequestError(
    BrokerResponseError, code=42, name="INVALID_REQUEST",
    remedy="See the broker's log, and please report it: this client made the request."
):
    """The broker found the request itself contradictory; its log says more."""


class UnsupportedForMessageFormatError(
    BrokerResponseError, code=43, name="UNSUPPORTED_FOR_MESSAGE_FORMAT",
    remedy="Leave the headers out and idempotence off, or raise the topic's format."
):
    """The topic's message format cannot hold this: headers, idempotence and transactions need format v2."""


class PolicyViolationError(
    BrokerResponseError, code=44, name="POLICY_VIOLATION",
    remedy="Ask who runs the cluster, the message names the policy."
):
    """A policy configured on the broker refused it."""


class OutOfOrderSequenceNumberError(
    BrokerResponseError, code=45, name="OUT_OF_ORDER_SEQUENCE_NUMBER",
    remedy="The producer goes on under a new epoch; look why a batch before it was lost."
):
    """The broker expected another sequence number; an earlier batch of the partition is missing."""


class DuplicateSequenceNumberError(
    BrokerResponseError, code=46, name="DUPLICATE_SEQUENCE_NUMBER",
    remedy="None is needed."
):
    """The broker has this batch already."""


class InvalidProducerEpochError(
    BrokerResponseError, code=47, name="INVALID_PRODUCER_EPOCH",
    remedy="Make a new producer."
):
    """The broker has seen a newer epoch of this producer id."""


class InvalidTxnStateError(BrokerResponseError, code=48, name="INVALID_TXN_STATE"):
    """The transaction's state does not allow this."""


class InvalidProducerIdMappingError(BrokerResponseError, code=49, name="INVALID_PRODUCER_ID_MAPPING"):
    """The producer id does not belong to this transactional id (any more)."""


class InvalidTransactionTimeoutError(BrokerResponseError, code=50, name="INVALID_TRANSACTION_TIMEOUT"):
    """transaction_timeout_ms is above the broker's transaction.max.timeout.ms."""


class ConcurrentTransactionsError(RetriableError, BrokerResponseError, code=51, name="CONCURRENT_TRANSACTIONS"):
    """The previous transaction of this transactional id is still completing."""


class TransactionCoordinatorFencedError(BrokerResponseError, code=52, name="TRANSACTION_COORDINATOR_FENCED"):
    """An old transaction coordinator tried to write."""


class TransactionalIdAuthorizationFailedError(
    AuthorizationError, code=53, name="TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    remedy="Grant them."
):
    """No permission for the transactional id: the principal needs WRITE and DESCRIBE on it."""


class KafkaStorageError(
    InvalidMetadataError, BrokerResponseError, code=56, name="KAFKA_STORAGE_ERROR",
    remedy="Replace the disk; look why no other replica took over."
):
    """The broker's disk failed; another replica will take over."""


class SaslAuthenticationFailedError(
    BrokerResponseError, code=58, name="SASL_AUTHENTICATION_FAILED",
    remedy="Check user, password and mechanism."
):
    """The broker refused the credentials."""


class UnknownProducerIdError(
    BrokerResponseError, code=59, name="UNKNOWN_PRODUCER_ID",
    remedy="The producer goes on under a new epoch; lengthen the topic's retention if it happens often."
):
    """The broker has nothing of this producer id any more, usually because retention removed its records."""


class ListenerNotFoundError(
    InvalidMetadataError, BrokerResponseError, code=72, name="LISTENER_NOT_FOUND",
    remedy="Give every broker the listener that bootstrap_servers name."
):
    """The leader has no listener of the kind this connection uses."""


class FencedLeaderEpochError(
    InvalidMetadataError, BrokerResponseError, code=74, name="FENCED_LEADER_EPOCH",
    remedy="Look why the cluster's metadata does not settle."
):
    """The request carries an older leader epoch than the broker knows."""


class UnknownLeaderEpochError(
    InvalidMetadataError, BrokerResponseError, code=75, name="UNKNOWN_LEADER_EPOCH",
    remedy="Look why the cluster's metadata does not settle."
):
    """The request carries a newer leader epoch than the broker knows."""


class UnsupportedCompressionTypeError(
    BrokerResponseError, code=76, name="UNSUPPORTED_COMPRESSION_TYPE",
    remedy="Choose another codec, or upgrade the broker."
):
    """The broker cannot handle this compression; zstd needs version 2.1."""


class OffsetNotAvailableError(RetriableError, BrokerResponseError, code=78, name="OFFSET_NOT_AVAILABLE"):
    """A new leader does not know the end of its log yet."""


class PreferredLeaderNotAvailableError(InvalidMetadataError, BrokerResponseError, code=80,
                                       name="PREFERRED_LEADER_NOT_AVAILABLE"):
    """The preferred leader is not available."""


class EligibleLeadersNotAvailableError(InvalidMetadataError, BrokerResponseError, code=83,
                                       name="ELIGIBLE_LEADERS_NOT_AVAILABLE"):
    """None of the replicas that may lead is available."""


class ElectionNotNeededError(InvalidMetadataError, BrokerResponseError, code=84, name="ELECTION_NOT_NEEDED"):
    """The partition already has the leader that was asked for."""


class InvalidRecordError(
    BrokerResponseError, code=87, name="INVALID_RECORD",
    remedy="Correct the record; the message says what is wrong with it."
):
    """The broker's checks refused the record; a compacted topic, for example, needs a key."""


class UnstableOffsetCommitError(RetriableError, BrokerResponseError, code=88, name="UNSTABLE_OFFSET_COMMIT"):
    """Offsets of an unfinished transaction are pending."""


class ThrottlingQuotaExceededError(
    RetriableError, BrokerResponseError, code=89, name="THROTTLING_QUOTA_EXCEEDED",
    remedy="Wait, or ask for a larger quota."
):
    """The quota for changes is used up for now."""


class ProducerFencedError(
    BrokerResponseError, code=90, name="PRODUCER_FENCED",
    remedy="Make sure that each transactional id has one producer."
):
    """A newer producer with the same transactional id has taken over; close this one."""


class UnknownTopicIdError(
    InvalidMetadataError, BrokerResponseError, code=100, name="UNKNOWN_TOPIC_ID",
    remedy="Send again once the new topic is there."
):
    """The broker does not know this topic id: the topic was deleted, or deleted and created anew."""


class InconsistentTopicIdError(
    InvalidMetadataError, BrokerResponseError, code=103, name="INCONSISTENT_TOPIC_ID",
    remedy="Send again; the client knows the new topic by then."
):
    """The broker's log has another topic id than the request: the topic was deleted and created anew."""


class InconsistentClusterIdError(BrokerResponseError, code=104, name="INCONSISTENT_CLUSTER_ID"):
    """The cluster is another one than the request was meant for."""


class TransactionalIdNotFoundError(BrokerResponseError, code=105, name="TRANSACTIONAL_ID_NOT_FOUND"):
    """The coordinator knows no such transactional id."""


class TelemetryTooLargeError(BrokerResponseError, code=118, name="TELEMETRY_TOO_LARGE"):
    """The metrics pushed to the broker are larger than it accepts."""


class UnknownSubscriptionIdError(BrokerResponseError, code=117, name="UNKNOWN_SUBSCRIPTION_ID"):
    """The telemetry subscription has changed; ask for it again."""


class TransactionAbortableError(BrokerResponseError, code=120, name="TRANSACTION_ABORTABLE"):
    """The transaction cannot go on; abort it, then a new one can begin."""


class RebootstrapRequiredError(BrokerResponseError, code=129, name="REBOOTSTRAP_REQUIRED"):
    """The broker asks the client to start over from its bootstrap servers."""
