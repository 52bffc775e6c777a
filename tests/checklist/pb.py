# SPDX-License-Identifier: Apache-2.0
"""One batch: which test shows which item."""

from tests.checklist.table import Items

ITEMS: Items = {
    1: "test_pb01_an_aborted_batch",
    2: "test_pb02_what_comes_after_an_abort",
    3: "test_pb03_aborting_twice",
    4: "test_pb04_completing_twice",
    5: "test_pb05_a_split_keeps_headers",
    6: (
        "test_pb06_pieces_of_a_split_are_batches_like_any_other",
        "test_pb06_pieces_in_the_format_of_old_brokers",
        "test_pb06_pieces_keep_the_codec",
    ),
    7: "test_pb07_expires_at_creation_and_time_out",
    8: "test_pb08_a_closed_batch_takes_nothing",
    9: "test_pb09_errors_by_record",
    10: "test_pb10_the_first_leader_is_no_change",
    11: "test_pb11_a_newer_leader_counts_once",
}
