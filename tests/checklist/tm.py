# SPDX-License-Identifier: Apache-2.0
"""The table of group TM, most of which is about transactions."""

from __future__ import annotations

from tests.checklist.table import TRANSACTIONS, Items

TESTED: Items = {
    3: "test_tm03_send_is_allowed_in_every_state_but_the_fatal_one",
    8: "test_tm08_sequences_begin_at_0_add_up_and_wrap",
    9: "test_tm09_an_unknown_producer_id_renumbers_all_that_is_in_flight",
    10: "test_tm10_other_partitions_keep_the_numbers_of_what_is_in_flight",
    11: "test_tm11_a_partition_begins_at_0_when_its_old_batches_are_through",
    12: "test_tm12_an_expired_request_is_not_taken_for_a_new_batchs",
    15: "test_tm15_a_lost_connection_repeats_the_request_for_an_id",
    17: "test_tm17_brokers_without_producer_ids_are_fatal_if_asked_for",
    26: "test_tm26_retriable_errors_repeat_the_request_for_an_id",
    27: "test_tm27_fenced_when_asking_for_an_id",
    36: "test_tm36_no_bump_while_anything_is_in_flight",
    37: "test_tm37_no_bump_in_the_fatal_state",
    40: "test_tm40_a_healthy_partition_goes_on_under_the_old_epoch",
}

ITEMS: Items = {number: TESTED.get(number, TRANSACTIONS) for number in range(1, 44)}
