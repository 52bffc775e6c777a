# SPDX-License-Identifier: Apache-2.0
"""The built-in partitioner: which test shows which item."""

from tests.checklist.table import Items

ITEMS: Items = {
    1: "test_bi01_a_choice_holds_for_a_batch",
    2: "test_bi02_partitions_without_a_leader_are_not_chosen",
    3: "test_bi03_the_only_partition_with_a_leader",
    4: "test_bi04_no_partition_with_a_leader",
    5: "test_bi05_frequencies_follow_the_weights",
    6: "test_bi06_partitions_without_a_leader_have_no_weight",
    7: "test_bi07_a_batch_size_of_nothing",
}
