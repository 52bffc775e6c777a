# SPDX-License-Identifier: Apache-2.0
"""The pool of memory: which test shows which item."""

from tests.checklist.table import Items

ITEMS: Items = {
    1: "test_bp01_a_slab_returns_to_the_free_ones",
    2: "test_bp02_a_slab_used_again_is_whole",
    3: "test_bp03_free_slabs_make_room_for_other_sizes",
    4: "test_bp04_the_whole_pool_and_one_byte_more",
    5: "test_bp05_who_waits_goes_on_when_memory_returns",
    6: "test_bp06_waiting_ends_when_the_time_is_up",
    7: "test_bp07_a_wait_in_vain_leaves_nothing_behind",
    8: "test_bp08_an_interrupted_waiter_leaves_the_queue",
    9: "test_bp09_an_error_during_a_wait_leaks_nothing",
    10: "test_bp10_many_threads_and_sizes",
    11: "test_bp11_budgets_are_64_bit",
    12: "test_bp12_memory_the_system_refuses",
    13: "test_bp13_a_closed_pool_only_takes_back",
    14: "test_bp14_close_wakes_everybody",
}
