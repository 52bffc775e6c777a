# SPDX-License-Identifier: Apache-2.0
"""Building a batch: which test shows which item."""

from tests.checklist.table import TRANSACTIONS, Items

ITEMS: Items = {
    1: "test_mb01_message_sets_know_no_zstd",
    2: "test_mb02_nothing_is_not_sent",
    3: TRANSACTIONS,
    4: "test_mb04_id_epoch_and_sequence_come_together",
    5: ("test_mb05_the_ratio_without_compression", "test_mb05_the_ratio_with_compression"),
    6: "test_mb06_the_size_is_exact",
    7: "test_mb07_timestamps",
    8: "test_mb08_the_smallest_limit_admits_one_record",
    9: "test_mb09_beyond_the_limit",
    10: "test_mb10_offsets_increase_by_one",
    11: "test_mb11_zstd_is_not_converted_for_old_brokers",
    12: "test_mb12_an_aborted_batch_is_gone",
    13: "test_mb13_appending_after_close_says_why",
    14: "test_mb14_the_estimate_is_never_below_what_was_seen",
}
